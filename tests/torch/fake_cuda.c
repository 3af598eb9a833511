/*
 * fake_cuda.c - just enough of the CUDA runtime and driver to run PyTorch's
 * CUDA caching allocator on a machine without a GPU.
 *
 * The allocator (c10/cuda/CUDACachingAllocator.cpp) never reads or writes the
 * memory it hands out. It only needs somebody to answer cudaMalloc and, with
 * expandable segments, the virtual memory calls of the driver. This library
 * answers them for one device that does not exist: addresses are numbers that
 * nobody may dereference, and a budget decides when the device is full. No
 * kernel, copy or memset works; a program may only allocate and free, for
 * instance through torch.cuda.caching_allocator_alloc.
 *
 * What it fakes
 *   - one device of compute capability 8.9 with a name and a size;
 *   - cudaMalloc, cudaFree: 2 MiB aligned addresses; a request costs its size
 *     rounded up to 2 MiB; cudaErrorMemoryAllocation when the budget is spent;
 *   - cudaMemGetInfo: what the budget has left, and the device's size;
 *   - streams and events that are always idle and done, and are never being
 *     captured into a graph;
 *   - the driver calls behind expandable segments: cuMemAddressReserve,
 *     cuMemCreate, cuMemMap, cuMemSetAccess, cuMemUnmap, cuMemRelease,
 *     cuMemAddressFree, cuMemGetAllocationGranularity (2 MiB). Memory of
 *     cuMemCreate comes out of the same budget, and returns to it when it is
 *     both released and unmapped;
 *   - cudaGetDriverEntryPoint and cudaGetDriverEntryPointByVersion, which find
 *     the calls above in this library. A driver call that the allocator looks
 *     up but never makes here resolves to a stub that answers "not supported";
 *   - of the management library, one device outside any fabric, and no process.
 * Everything else falls through to the real libcudart and fails there.
 *
 * Build
 *   gcc -O2 -Wall -Wextra -shared -fPIC -Wl,-soname,libcuda.so.1 \
 *       -o libfakecuda.so fake_cuda.c -ldl -lpthread
 *   ln -s libfakecuda.so libnvidia-ml.so.1
 *   The soname makes a later dlopen("libcuda.so.1") find this library; the link
 *   does the same for the management library, which newer versions ask whether
 *   the device shares memory with other machines.
 *   It needs no CUDA headers and serves CUDA 12 and CUDA 13 wheels alike.
 *
 * Run
 *   LD_PRELOAD=$PWD/libfakecuda.so LD_LIBRARY_PATH=$PWD \
 *       FAKE_CUDA_TOTAL_BYTES=17179869184 \
 *       python record.py random-small -o random-small.jsonl
 *
 * Settings (environment, sizes in bytes)
 *   FAKE_CUDA_TOTAL_BYTES    size of the device; default 16 GiB
 *   FAKE_CUDA_CONTEXT_BYTES  part of it that is taken from the start, as by a
 *                            driver context; default 0
 *   FAKE_CUDA_ADDRESSES      addresses of cudaMalloc:
 *                            up    (default) ascending, never used twice
 *                            down  descending, never used twice
 *                            hole  the lowest hole that is large enough
 *   FAKE_CUDA_LOG            1: one line on stderr for each call that takes or
 *                            gives back memory or address space
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRANULE ((uint64_t)2 << 20)
#define MALLOC_UP ((uint64_t)0x300000000000)
#define MALLOC_DOWN ((uint64_t)0x3f0000000000)
#define RESERVE_UP ((uint64_t)0x500000000000)

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_SUPPORTED = 801 };

typedef struct {
    uint64_t address; /* cudaMalloc: where it lies; cuMemMap: where it is mapped */
    uint64_t size;    /* as taken from the budget, or as mapped or reserved */
    uint64_t handle;  /* cuMemMap: what is mapped */
} Range;

typedef struct {
    Range *items;
    size_t count, room;
} Ranges;

typedef struct {
    uint64_t size;
    int mappings;
    int released;
} Physical;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t total_bytes, context_bytes, used_bytes;
static uint64_t next_up = MALLOC_UP, next_down = MALLOC_DOWN, next_reserve = RESERVE_UP;
static enum { UP, DOWN, HOLE } policy = UP;
static int logging;
static Ranges mallocs;  /* sorted by address */
static Ranges mappings; /* in the order of their making */
static Physical *physicals;
static size_t physical_count, physical_room;
static __thread int last_error;
static __thread int current_device;
static uint64_t next_token = 0x1000;

static uint64_t bytes_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return otherwise;
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*end || text[0] == '-') {
        fprintf(stderr, "fake_cuda: %s is no number of bytes: %s\n", name, text);
        exit(2);
    }
    return value;
}

__attribute__((constructor)) static void start(void)
{
    total_bytes = bytes_from("FAKE_CUDA_TOTAL_BYTES", (uint64_t)16 << 30);
    context_bytes = bytes_from("FAKE_CUDA_CONTEXT_BYTES", 0);
    logging = bytes_from("FAKE_CUDA_LOG", 0) != 0;
    if (context_bytes > total_bytes) {
        fprintf(stderr, "fake_cuda: FAKE_CUDA_CONTEXT_BYTES is more than the device has\n");
        exit(2);
    }
    const char *text = getenv("FAKE_CUDA_ADDRESSES");
    if (!text || !*text || !strcmp(text, "up"))
        policy = UP;
    else if (!strcmp(text, "down"))
        policy = DOWN;
    else if (!strcmp(text, "hole"))
        policy = HOLE;
    else {
        fprintf(stderr, "fake_cuda: FAKE_CUDA_ADDRESSES must be up, down or hole\n");
        exit(2);
    }
}

#define LOG(...)                                                                                   \
    do {                                                                                           \
        if (logging)                                                                               \
            fprintf(stderr, "fake_cuda: " __VA_ARGS__);                                            \
    } while (0)

static int fail(int error)
{
    last_error = error;
    return error;
}

static void *grown(void *items, size_t count, size_t *room, size_t each)
{
    if (count < *room)
        return items;
    *room = *room ? *room * 2 : 256;
    items = realloc(items, *room * each);
    if (!items)
        abort();
    return items;
}

static void insert(Ranges *ranges, size_t at, Range range)
{
    ranges->items = grown(ranges->items, ranges->count, &ranges->room, sizeof(Range));
    memmove(ranges->items + at + 1, ranges->items + at, (ranges->count - at) * sizeof(Range));
    ranges->items[at] = range;
    ranges->count++;
}

static void erase(Ranges *ranges, size_t at)
{
    ranges->count--;
    memmove(ranges->items + at, ranges->items + at + 1, (ranges->count - at) * sizeof(Range));
}

static uint64_t rounded(uint64_t size)
{
    return (size + GRANULE - 1) / GRANULE * GRANULE;
}

/* Both answer with the lock held. */
static int take(uint64_t size)
{
    if (size > total_bytes - context_bytes - used_bytes)
        return 0;
    used_bytes += size;
    return 1;
}

static uint64_t lowest_hole(uint64_t size)
{
    uint64_t address = MALLOC_UP;
    for (size_t i = 0; i < mallocs.count; i++) {
        if (mallocs.items[i].address - address >= size)
            break;
        address = mallocs.items[i].address + mallocs.items[i].size;
    }
    return address;
}

/* ---- runtime: memory ---- */

int cudaMalloc(void **out, size_t size)
{
    if (!size) {
        *out = NULL;
        return OK;
    }
    uint64_t cost = rounded(size);
    pthread_mutex_lock(&lock);
    if (cost < size || !take(cost)) {
        pthread_mutex_unlock(&lock);
        LOG("cudaMalloc %zu: full\n", size);
        return fail(OUT_OF_MEMORY);
    }
    uint64_t address;
    if (policy == HOLE) {
        address = lowest_hole(cost);
    } else if (policy == DOWN) {
        next_down -= cost;
        address = next_down;
    } else {
        address = next_up;
        next_up += cost;
    }
    size_t at = 0;
    while (at < mallocs.count && mallocs.items[at].address < address)
        at++;
    insert(&mallocs, at, (Range){address, cost, 0});
    pthread_mutex_unlock(&lock);
    LOG("cudaMalloc %zu: %#lx\n", size, (unsigned long)address);
    *out = (void *)(uintptr_t)address;
    return OK;
}

int cudaFree(void *pointer)
{
    if (!pointer)
        return OK;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < mallocs.count; i++) {
        if (mallocs.items[i].address == (uint64_t)(uintptr_t)pointer) {
            uint64_t size = mallocs.items[i].size;
            used_bytes -= size;
            erase(&mallocs, i);
            pthread_mutex_unlock(&lock);
            LOG("cudaFree %p: %lu\n", pointer, (unsigned long)size);
            return OK;
        }
    }
    pthread_mutex_unlock(&lock);
    return fail(INVALID_VALUE);
}

int cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    pthread_mutex_lock(&lock);
    *free_bytes = total_bytes - context_bytes - used_bytes;
    *total = total_bytes;
    pthread_mutex_unlock(&lock);
    return OK;
}

/* ---- runtime: device ---- */

int cudaGetDeviceCount(int *count)
{
    *count = 1;
    return OK;
}

int cudaGetDevice(int *device)
{
    *device = current_device;
    return OK;
}

int cudaSetDevice(int device)
{
    if (device)
        return fail(101); /* cudaErrorInvalidDevice */
    current_device = device;
    return OK;
}

/* The fields up to multiProcessorCount lie at the same place in cudaDeviceProp
 * of CUDA 12 and 13, but for the last one, which moved by four bytes. */
static int properties(char *prop)
{
    memset(prop, 0, 392);
    strcpy(prop, "Fake device for allocator traces");
    *(size_t *)(prop + 288) = total_bytes; /* totalGlobalMem */
    *(size_t *)(prop + 296) = 48 << 10;    /* sharedMemPerBlock */
    *(int *)(prop + 304) = 65536;          /* regsPerBlock */
    *(int *)(prop + 308) = 32;             /* warpSize */
    *(int *)(prop + 320) = 1024;           /* maxThreadsPerBlock */
    *(int *)(prop + 360) = 8;              /* major */
    *(int *)(prop + 364) = 9;              /* minor */
    *(int *)(prop + 384) = 64;             /* multiProcessorCount, CUDA 13 */
    *(int *)(prop + 388) = 64;             /* multiProcessorCount, CUDA 12 */
    return OK;
}

int cudaGetDeviceProperties(void *prop, int device)
{
    return device ? fail(101) : properties(prop);
}

int cudaGetDeviceProperties_v2(void *prop, int device)
{
    return device ? fail(101) : properties(prop);
}

int cudaDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    *value = attribute == 75 ? 8 : attribute == 76 ? 9 : attribute == 16 ? 64 : 0;
    return OK;
}

int cudaDeviceGetPCIBusId(char *text, int length, int device)
{
    (void)device;
    snprintf(text, length, "0000:01:00.0");
    return OK;
}

int cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return OK;
}

int cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return OK;
}

int cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    (void)device, (void)peer;
    *can = 0;
    return OK;
}

int cudaDeviceSynchronize(void)
{
    return OK;
}

/* ---- runtime: errors ---- */

int cudaGetLastError(void)
{
    int error = last_error;
    last_error = OK;
    return error;
}

int cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorString(int error)
{
    return error == OK              ? "no error"
           : error == OUT_OF_MEMORY ? "out of memory"
                                    : "error of the fake CUDA library";
}

const char *cudaGetErrorName(int error)
{
    return error == OK              ? "cudaSuccess"
           : error == OUT_OF_MEMORY ? "cudaErrorMemoryAllocation"
                                    : "cudaErrorUnknown";
}

/* ---- runtime: streams and events, always idle ---- */

static int token(void **out)
{
    *out = (void *)(uintptr_t)__atomic_fetch_add(&next_token, 16, __ATOMIC_RELAXED);
    return OK;
}

int cudaStreamCreateWithPriority(void **stream, unsigned flags, int priority)
{
    (void)flags, (void)priority;
    return token(stream);
}
int cudaEventCreate(void **event) { return token(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags)
{
    (void)flags;
    return token(event);
}
int cudaStreamIsCapturing(void *stream, int *status)
{
    (void)stream;
    *status = 0;
    return OK;
}
int cudaStreamGetCaptureInfo_v2(void *stream, int *status)
{
    (void)stream;
    *status = 0;
    return OK;
}
int cudaStreamGetCaptureInfo_v3(void *stream, int *status)
{
    (void)stream;
    *status = 0;
    return OK;
}
int cudaStreamGetCaptureInfo(void *stream, int *status)
{
    (void)stream;
    *status = 0;
    return OK;
}
int cudaThreadExchangeStreamCaptureMode(int *mode)
{
    (void)mode;
    return OK;
}
int cudaStreamQuery(void *stream) { return (void)stream, OK; }
int cudaStreamSynchronize(void *stream) { return (void)stream, OK; }
int cudaStreamWaitEvent(void *stream, void *event, unsigned flags)
{
    return (void)stream, (void)event, (void)flags, OK;
}
int cudaEventDestroy(void *event) { return (void)event, OK; }
int cudaEventQuery(void *event) { return (void)event, OK; }
int cudaEventRecord(void *event, void *stream) { return (void)event, (void)stream, OK; }
int cudaEventRecordWithFlags(void *event, void *stream, unsigned flags)
{
    return (void)event, (void)stream, (void)flags, OK;
}
int cudaEventSynchronize(void *event) { return (void)event, OK; }
int cudaEventElapsedTime(float *milliseconds, void *from, void *to)
{
    (void)from, (void)to;
    *milliseconds = 0;
    return OK;
}

/* ---- driver: virtual memory ---- */

int cuInit(unsigned flags) { return (void)flags, OK; }

int cuGetErrorString(int error, const char **text)
{
    *text = cudaGetErrorString(error);
    return OK;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    return cudaDeviceGetAttribute(value, attribute, device);
}

int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return OK;
}

int cuCtxGetCurrent(void **context)
{
    *context = (void *)(uintptr_t)8;
    return OK;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
    (void)device;
    *flags = 0;
    *active = 1;
    return OK;
}

int cuMemGetAllocationGranularity(size_t *granularity, const void *prop, int option)
{
    (void)prop, (void)option;
    *granularity = GRANULE;
    return OK;
}

int cuMemAddressReserve(
    uint64_t *out, size_t size, size_t alignment, uint64_t wish, unsigned long long flags)
{
    (void)alignment, (void)wish, (void)flags;
    if (!size || size % GRANULE)
        return INVALID_VALUE;
    pthread_mutex_lock(&lock);
    *out = next_reserve;
    next_reserve += size;
    pthread_mutex_unlock(&lock);
    LOG("cuMemAddressReserve %zu: %#lx\n", size, (unsigned long)*out);
    return OK;
}

int cuMemAddressFree(uint64_t address, size_t size)
{
    LOG("cuMemAddressFree %#lx: %zu\n", (unsigned long)address, size);
    return OK;
}

int cuMemCreate(uint64_t *handle, size_t size, const void *prop, unsigned long long flags)
{
    (void)prop, (void)flags;
    if (!size || size % GRANULE)
        return INVALID_VALUE;
    pthread_mutex_lock(&lock);
    if (!take(size)) {
        pthread_mutex_unlock(&lock);
        LOG("cuMemCreate %zu: full\n", size);
        return OUT_OF_MEMORY;
    }
    physicals = grown(physicals, physical_count, &physical_room, sizeof(Physical));
    physicals[physical_count] = (Physical){size, 0, 0};
    *handle = ++physical_count; /* handles count from 1 and are never used twice */
    pthread_mutex_unlock(&lock);
    LOG("cuMemCreate %zu: handle %lu\n", size, (unsigned long)*handle);
    return OK;
}

static void give_back_if_unused(Physical *physical)
{
    if (physical->released && !physical->mappings) {
        used_bytes -= physical->size;
        physical->size = 0;
    }
}

int cuMemRelease(uint64_t handle)
{
    pthread_mutex_lock(&lock);
    if (!handle || handle > physical_count || physicals[handle - 1].released) {
        pthread_mutex_unlock(&lock);
        return INVALID_VALUE;
    }
    physicals[handle - 1].released = 1;
    give_back_if_unused(&physicals[handle - 1]);
    pthread_mutex_unlock(&lock);
    LOG("cuMemRelease handle %lu\n", (unsigned long)handle);
    return OK;
}

int cuMemMap(
    uint64_t address, size_t size, size_t offset, uint64_t handle, unsigned long long flags)
{
    (void)flags;
    pthread_mutex_lock(&lock);
    if (!handle || handle > physical_count || offset || size != physicals[handle - 1].size) {
        pthread_mutex_unlock(&lock);
        return INVALID_VALUE;
    }
    for (size_t i = 0; i < mappings.count; i++) {
        if (address < mappings.items[i].address + mappings.items[i].size &&
            mappings.items[i].address < address + size) {
            pthread_mutex_unlock(&lock);
            return INVALID_VALUE;
        }
    }
    insert(&mappings, mappings.count, (Range){address, size, handle});
    physicals[handle - 1].mappings++;
    pthread_mutex_unlock(&lock);
    LOG("cuMemMap %#lx: %zu\n", (unsigned long)address, size);
    return OK;
}

int cuMemUnmap(uint64_t address, size_t size)
{
    pthread_mutex_lock(&lock);
    uint64_t done = 0;
    for (size_t i = 0; i < mappings.count;) {
        Range range = mappings.items[i];
        if (range.address >= address && range.address + range.size <= address + size) {
            physicals[range.handle - 1].mappings--;
            give_back_if_unused(&physicals[range.handle - 1]);
            done += range.size;
            erase(&mappings, i);
        } else {
            i++;
        }
    }
    pthread_mutex_unlock(&lock);
    LOG("cuMemUnmap %#lx: %zu\n", (unsigned long)address, size);
    return done == size ? OK : INVALID_VALUE;
}

int cuMemSetAccess(uint64_t address, size_t size, const void *access, size_t count)
{
    return (void)address, (void)size, (void)access, (void)count, OK;
}

/* ---- driver: lookup ---- */

/* Stands for every driver call that is looked up but never made here. */
static int not_supported(void)
{
    LOG("a driver call that is not faked was made\n");
    return NOT_SUPPORTED;
}

/* Older versions look these up with dlsym and insist on finding them. */
#define LOOKED_UP(name) \
    int name(void) { return not_supported(); }
LOOKED_UP(cuMemExportToShareableHandle)
LOOKED_UP(cuMemImportFromShareableHandle)
LOOKED_UP(cuMemsetD32Async)
LOOKED_UP(cuStreamWriteValue32)
LOOKED_UP(cuMulticastAddDevice)
LOOKED_UP(cuMulticastBindMem)
LOOKED_UP(cuMulticastCreate)

/* ---- management library: one device, outside any fabric ---- */

int nvmlInit_v2(void) { return OK; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device)
{
    (void)bus;
    return token(device);
}
int nvmlDeviceGetComputeRunningProcesses(void *device, unsigned *count, void *processes)
{
    (void)device, (void)processes;
    *count = 0;
    return OK;
}
#define NO_NVML(name) \
    int name(void) { return 3; } /* NVML_ERROR_NOT_SUPPORTED */
NO_NVML(nvmlInit)
NO_NVML(nvmlDeviceGetNvLinkRemoteDeviceType)
NO_NVML(nvmlDeviceGetNvLinkRemotePciInfo_v2)
NO_NVML(nvmlSystemGetCudaDriverVersion_v2)
NO_NVML(nvmlDeviceGetGpuFabricInfoV)

static int entry_point(const char *name, void **out, int *result)
{
    static void *self;
    Dl_info info;
    if (!self && dladdr((void *)&entry_point, &info))
        self = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    *out = self ? dlsym(self, name) : NULL;
    if (!*out) {
        LOG("looked up, not faked: %s\n", name);
        *out = (void *)not_supported;
    }
    if (result)
        *result = 0; /* cudaDriverEntryPointSuccess */
    return OK;
}

int cudaGetDriverEntryPoint(
    const char *name, void **out, unsigned long long flags, int *result)
{
    (void)flags;
    return entry_point(name, out, result);
}

int cudaGetDriverEntryPointByVersion(
    const char *name, void **out, unsigned version, unsigned long long flags, int *result)
{
    (void)version, (void)flags;
    return entry_point(name, out, result);
}
