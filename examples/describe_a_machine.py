"""A machine in Python: a change to one of the library, checked as a file is, and saved as one."""

import inferstack as ist

gemmini = ist.machine("gemmini")
larger = gemmini.with_(
    {
        "array.rows": 32,
        "array.columns": 32,
        "array.fill_cycles": 63,
        "levels.scratchpad.capacity_bytes": "512 KiB",
    },
    name="gemmini-32",
    source="a question: what would four times the array and twice the memory do?",
)
print(larger)
print(
    f"saved as {larger.save('gemmini-32.yaml')}; the command line takes it as --on gemmini-32.yaml"
)

# A misspelt key or an impossible number is one error that says what to write.
try:
    gemmini.with_({"array.rowz": 32})
except ist.InputError as error:
    print(f"\n{error}")
