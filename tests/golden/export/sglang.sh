# stages, front to back: gpu0, gpu1
export CUDA_VISIBLE_DEVICES=0,1
export SGLANG_PP_LAYER_PARTITION=16,16
python -m sglang.launch_server --model-path MODEL --pp-size 2 --tp-size 1 --context-length 4096 --max-running-requests 1
