/* Stands between a program and its disk: writes down what is written and synced under DISK_ROOT, and can be full.

   Loaded with LD_PRELOAD. DISK_ROOT is the folder that is watched; DISK_LOG, when set, the file that the log goes to.
   A record: op, length of the path, offset, length of the data; then path and data. Ops: W write, T truncate,
   S sync a file, D sync a folder, C create, R rename (the data is the new path), U unlink, N a note.
   After disk_fill(n) there is room for n more writes; the next is cut short, and all after it say ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 4096
static char *paths[MOST];
static int appends[MOST];
static int log_file = -1;
static const char *root;
static long room = -1; /* writes that still fit; -1 is no end */
static long refused;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)
REAL(int, open, const char *, int, ...);
REAL(int, close, int);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
REAL(int, ftruncate, int, off_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, rename, const char *, const char *);
REAL(int, unlink, const char *);

__attribute__((constructor)) static void begin(void) {
#define FIND(name) *(void **)(&real_##name) = dlsym(RTLD_NEXT, #name)
    FIND(open); FIND(close); FIND(write); FIND(pwrite); FIND(ftruncate); FIND(fsync); FIND(fdatasync); FIND(rename);
    FIND(unlink);
    root = getenv("DISK_ROOT");
    const char *log = getenv("DISK_LOG");
    if (log) log_file = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void all(const void *data, size_t length) {
    const char *at = data;
    while (length) {
        ssize_t done = syscall(SYS_write, log_file, at, length);
        if (done <= 0) abort();
        at += done;
        length -= done;
    }
}

static void record(char op, const char *path, uint64_t offset, const void *data, uint32_t length) {
    if (log_file < 0) return;
    struct __attribute__((packed)) { char op; uint16_t path; uint64_t offset; uint32_t length; } head =
        {op, (uint16_t)strlen(path), offset, length};
    int kept = errno;
    pthread_mutex_lock(&one);
    all(&head, sizeof head);
    all(path, head.path);
    if (length) all(data, length);
    pthread_mutex_unlock(&one);
    errno = kept;
}

static int ours(const char *path) { return root && path && !strncmp(path, root, strlen(root)); }
static const char *watched(int fd) { return fd >= 0 && fd < MOST ? paths[fd] : NULL; }

void disk_note(const char *text) { record('N', "", 0, text, strlen(text)); }
void disk_fill(long writes) { room = writes; refused = 0; }
long disk_free(void) { long was = refused; room = -1; refused = 0; return was; }

/* How many of these bytes there is room for; -1 for none at all. */
static ssize_t fits(size_t length) {
    if (room < 0) return length;
    if (room > 0) { room--; return length; }
    if (!refused++ && length > 1) return length / 2; /* a disk fills up in the middle of something */
    return -1;
}

static int opened(const char *path, int flags, mode_t mode) {
    int mine = ours(path), fresh = mine && (flags & O_CREAT) && access(path, F_OK);
    if (fresh && room == 0) { refused++; errno = ENOSPC; return -1; }
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < MOST) {
        free(paths[fd]);
        paths[fd] = mine ? strdup(path) : NULL;
        appends[fd] = !!(flags & O_APPEND);
        if (fresh) record('C', path, 0, NULL, 0);
        if (mine && (flags & O_TRUNC)) record('T', path, 0, NULL, 0);
    }
    return fd;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;                                           \
        va_end(rest);                                                                                                  \
        return opened(path, flags, mode);                                                                              \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < MOST) { free(paths[fd]); paths[fd] = NULL; }
    return real_close(fd);
}

ssize_t write(int fd, const void *data, size_t length) {
    const char *path = watched(fd);
    if (!path) return real_write(fd, data, length);
    ssize_t room_for = fits(length);
    if (room_for < 0) { errno = ENOSPC; return -1; }
    off_t at = appends[fd] ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = real_write(fd, data, room_for);
    if (done > 0) record('W', path, at, data, done);
    return done;
}

static ssize_t written_at(int fd, const void *data, size_t length, off_t at) {
    const char *path = watched(fd);
    if (!path) return real_pwrite(fd, data, length, at);
    ssize_t room_for = fits(length);
    if (room_for < 0) { errno = ENOSPC; return -1; }
    ssize_t done = real_pwrite(fd, data, room_for, at);
    if (done > 0) record('W', path, at, data, done);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return written_at(fd, data, length, at); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return written_at(fd, data, length, at); }

static int cut_off(int fd, off_t length) {
    const char *path = watched(fd);
    int done = real_ftruncate(fd, length);
    if (path && !done) record('T', path, length, NULL, 0);
    return done;
}
int ftruncate(int fd, off_t length) { return cut_off(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut_off(fd, length); }

static int synced(int fd, int (*real)(int)) {
    const char *path = watched(fd);
    int done = real(fd);
    struct stat about;
    if (path && !done && !fstat(fd, &about)) record(S_ISDIR(about.st_mode) ? 'D' : 'S', path, 0, NULL, 0);
    return done;
}
int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int rename(const char *from, const char *to) {
    int done = real_rename(from, to);
    if (!done && ours(from)) record('R', from, 0, to, strlen(to));
    return done;
}
int unlink(const char *path) {
    int done = real_unlink(path);
    if (!done && ours(path)) record('U', path, 0, NULL, 0);
    return done;
}
