# stages, front to back: gpu0, gpu1
export CUDA_VISIBLE_DEVICES=0,1
export VLLM_PP_LAYER_PARTITION=16,16
vllm serve MODEL --pipeline-parallel-size 2 --tensor-parallel-size 1 --max-model-len 4096 --max-num-seqs 1
