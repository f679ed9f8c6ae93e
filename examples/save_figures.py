"""The pictures: a roofline as a page of its own, and a figure of plotly to go on with."""

import inferstack as ist

counts = ist.load("bert-base").count((128, 512, 4096), on="gemmini")
print(f"wrote {counts.save_roofline('roofline.html')}")

figure = ist.load("minilm-l6").map("peers-target", seq_len=16, fuse=False).figure()
figure.update_layout(title="MiniLM at 16 tokens, each operator over its bound")
figure.write_html("bounds.html")
print("wrote bounds.html")
