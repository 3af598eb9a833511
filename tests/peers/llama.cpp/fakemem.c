/* Preloaded: answers FAKE_MEM_MIB MiB when asked for the machine's memory, so that the CPU device of an RPC server
   looks like a GPU of that size. cc -shared -fPIC -O2 -o fakemem.so fakemem.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

long sysconf(int name) {
    static long (*real)(int);
    if (!real) real = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    char *mib = getenv("FAKE_MEM_MIB");
    if (mib && (name == _SC_PHYS_PAGES || name == _SC_AVPHYS_PAGES))
        return atol(mib) * 1048576L / real(_SC_PAGESIZE);
    return real(name);
}
