/* Stands between a process and the file system (LD_PRELOAD), for the files below one directory.
 *
 *   SHIM_DIR=dir        the directory; calls elsewhere pass through untouched and uncounted
 *   SHIM_LOG=file       appends every change in order, and every write to standard output (the
 *                       acknowledgements), for the replay of power cuts
 *   SHIM_KILL=n         the n-th change is the last: half of a write, then SIGKILL
 *   SHIM_FAIL=k,n,m,e   of the changes of kind k ("space" or "sync"), number n to n+m-1 fail with
 *                       errno e; a failing write first writes half of itself, as full disks do
 *   SHIM_FIRED=file     created when the first injected failure happens
 *   SHIM_COUNT=file     at exit: number of changes, of those that need space, of syncs
 *   SHIM_NOSYNC=1       syncs succeed without waiting for the medium
 *
 * A change is counted and logged under one lock, so the log is the order in which the file system
 * saw the calls of all threads.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096

enum kind { SPACE, SYNC, NAME };

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *path_of[FDS];
static char dir[PATH_MAX];
static size_t dir_len;
static int log_fd = -1;
static int no_sync;
static long changes, spaces, syncs;
static long kill_at = -1;
static long fail_from = -1, fail_count;
static enum kind fail_kind;
static int fail_errno;
static int fired;

static void setup(void) {
    const char *value;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if ((value = getenv("SHIM_DIR"))) {
        dir_len = strlen(value);
        memcpy(dir, value, dir_len + 1);
    }
    if ((value = getenv("SHIM_LOG")))
        log_fd = syscall(SYS_openat, AT_FDCWD, value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if ((value = getenv("SHIM_KILL"))) kill_at = atol(value);
    if ((value = getenv("SHIM_FAIL"))) {
        char kind[16];
        if (sscanf(value, "%15[a-z],%ld,%ld,%d", kind, &fail_from, &fail_count, &fail_errno) == 4)
            fail_kind = strcmp(kind, "sync") == 0 ? SYNC : SPACE;
    }
    no_sync = getenv("SHIM_NOSYNC") != NULL;
}

static void enter(void) { pthread_mutex_lock(&gate); }
static void leave(void) { pthread_mutex_unlock(&gate); }

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a change. Returns the errno it must fail with, or 0; `*last` when it must be the last. */
static int count(enum kind kind, int *last) {
    long n = 0;
    changes++;
    *last = changes == kill_at;
    if (kind == SPACE) n = ++spaces;
    if (kind == SYNC) n = ++syncs;
    if (kind != fail_kind || fail_from < 0 || n < fail_from || n >= fail_from + fail_count) return 0;
    if (!fired) {
        const char *marker = getenv("SHIM_FIRED");
        fired = 1;
        if (marker) {
            int fd = syscall(SYS_openat, AT_FDCWD, marker, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            if (fd >= 0) syscall(SYS_close, fd);
        }
    }
    return fail_errno;
}

/* One record: op, length of path, length of second path, offset, length of data; then these. */
static void record(char op, const char *path, const char *other, uint64_t offset, const void *data,
                   uint64_t len) {
    char head[25];
    uint32_t path_len = strlen(path), other_len = strlen(other);
    struct iovec parts[4];
    size_t total;
    if (log_fd < 0) return;
    head[0] = op;
    memcpy(head + 1, &path_len, 4);
    memcpy(head + 5, &other_len, 4);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &len, 8);
    parts[0] = (struct iovec){head, sizeof head};
    parts[1] = (struct iovec){(void *)path, path_len};
    parts[2] = (struct iovec){(void *)other, other_len};
    parts[3] = (struct iovec){(void *)data, len};
    total = sizeof head + path_len + other_len + len;
    if (syscall(SYS_writev, log_fd, parts, 4) != (long)total) {
        static const char words[] = "shim: the log is short\n";
        syscall(SYS_write, 2, words, sizeof words - 1);
        _exit(99);
    }
}

static const char *watched(int fd) {
    pthread_once(&once, setup);
    return fd >= 0 && fd < FDS ? path_of[fd] : NULL;
}

static int inside(const char *path) {
    pthread_once(&once, setup);
    return dir_len && strncmp(path, dir, dir_len) == 0;
}

/* The absolute name of `path` seen from `at`; "" when it is unknown. */
static void resolve(int at, const char *path, char *out) {
    out[0] = 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else if (at == AT_FDCWD) {
        char here[PATH_MAX / 2];
        if (getcwd(here, sizeof here)) snprintf(out, PATH_MAX, "%s/%s", here, path);
    } else if (at >= 0 && at < FDS && path_of[at]) {
        snprintf(out, PATH_MAX, "%s/%s", path_of[at], path);
    }
}

static void remember(int fd, const char *path) {
    if (fd < 0 || fd >= FDS) return;
    free(path_of[fd]);
    path_of[fd] = path ? strdup(path) : NULL;
}

static ssize_t put(int fd, const void *data, size_t len, off_t at, int positioned) {
    return positioned ? syscall(SYS_pwrite64, fd, data, len, at) : syscall(SYS_write, fd, data, len);
}

static ssize_t write_at(int fd, const void *data, size_t len, off_t at, int positioned) {
    int last, error, saved;
    off_t offset;
    ssize_t written;
    const char *path = watched(fd);
    if (!path) {
        if (fd != 1 || log_fd < 0) return put(fd, data, len, at, positioned);
        enter();
        record('A', "", "", 0, data, len);
        leave();
        return put(fd, data, len, at, positioned);
    }
    enter();
    error = count(SPACE, &last);
    offset = positioned ? at : lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    if (last || error) {
        written = len > 1 ? put(fd, data, len / 2, offset, 1) : 0;
        if (last) die();
        if (written > 0) record('W', path, "", offset, data, written);
        leave();
        errno = error;
        return -1;
    }
    written = put(fd, data, len, at, positioned);
    saved = errno;
    if (written > 0) record('W', path, "", offset, data, written);
    leave();
    errno = saved;
    return written;
}

ssize_t write(int fd, const void *data, size_t len) { return write_at(fd, data, len, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) { return write_at(fd, data, len, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    return write_at(fd, data, len, at, 1);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    ssize_t total = 0;
    if (!watched(fd) && fd != 1) return syscall(SYS_writev, fd, parts, number);
    for (int i = 0; i < number; i++) {
        ssize_t written;
        if (!parts[i].iov_len) continue;
        written = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0) return total ? total : written;
        total += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return total;
}

static int truncate_to(int fd, off_t len) {
    int last, result, saved;
    const char *path = watched(fd);
    if (!path) return syscall(SYS_ftruncate, fd, len);
    enter();
    count(NAME, &last);
    if (last) die();
    result = syscall(SYS_ftruncate, fd, len);
    saved = errno;
    if (result == 0) record('T', path, "", len, NULL, 0);
    leave();
    errno = saved;
    return result;
}

int ftruncate(int fd, off_t len) { return truncate_to(fd, len); }
int ftruncate64(int fd, off64_t len) { return truncate_to(fd, len); }

static int sync_file(int fd, int number) {
    int last, error;
    const char *path = watched(fd);
    if (!path) return syscall(number, fd);
    enter();
    error = count(SYNC, &last);
    if (last) die();
    if (error) {
        leave();
        errno = error;
        return -1;
    }
    if (!no_sync) {
        int result = syscall(number, fd), saved = errno;
        if (result == 0) record('S', path, "", 0, NULL, 0);
        leave();
        errno = saved;
        return result;
    }
    record('S', path, "", 0, NULL, 0);
    leave();
    return 0;
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

int sync_file_range(int fd, off64_t from, off64_t len, unsigned flags) {
    int last, error;
    const char *path = watched(fd);
    if (!path) return syscall(SYS_sync_file_range, fd, from, len, flags);
    enter();
    error = count(SYNC, &last);
    if (last) die();
    if (!error) record('R', path, "", from, NULL, 0);
    leave();
    if (error) {
        errno = error;
        return -1;
    }
    return no_sync ? 0 : syscall(SYS_sync_file_range, fd, from, len, flags);
}

static int open_file(int at, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    struct stat found;
    int last, fd, saved, is_new, mine;
    resolve(at, path, name);
    mine = inside(name);
    if (!mine) {
        fd = syscall(SYS_openat, at, path, flags, mode);
        saved = errno;
        enter();
        if (fd >= 0) remember(fd, NULL);
        leave();
        errno = saved;
        return fd;
    }
    enter();
    is_new = (flags & O_CREAT) && syscall(SYS_newfstatat, AT_FDCWD, name, &found, 0) != 0;
    if (is_new) {
        int error = count(SPACE, &last);
        if (last) die();
        if (error) {
            leave();
            errno = error;
            return -1;
        }
    }
    fd = syscall(SYS_openat, at, path, flags, mode);
    saved = errno;
    if (fd >= 0) {
        remember(fd, name);
        if (is_new) record('C', name, "", 0, NULL, 0);
        else if (flags & O_TRUNC) record('T', name, "", 0, NULL, 0);
    }
    leave();
    errno = saved;
    return fd;
}

#define MODE(flags)                       \
    mode_t mode = 0;                      \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest;                     \
        va_start(rest, flags);            \
        mode = va_arg(rest, mode_t);      \
        va_end(rest);                     \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_file(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_file(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
    MODE(flags)
    return open_file(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
    MODE(flags)
    return open_file(at, path, flags, mode);
}

int close(int fd) {
    if (watched(fd)) {
        enter();
        remember(fd, NULL);
        leave();
    }
    return syscall(SYS_close, fd);
}

static int control(int fd, int command, long argument) {
    int result = syscall(SYS_fcntl, fd, command, argument);
    if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) {
        enter();
        remember(result, watched(fd));
        leave();
    }
    return result;
}

#define ARGUMENT(command)           \
    va_list rest;                   \
    va_start(rest, command);        \
    long argument = va_arg(rest, long); \
    va_end(rest);

int fcntl(int fd, int command, ...) {
    ARGUMENT(command)
    return control(fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
    ARGUMENT(command)
    return control(fd, command, argument);
}

static int rename_name(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    int last, result, saved;
    size_t a_len;
    resolve(from_at, from, a);
    resolve(to_at, to, b);
    if (!inside(a)) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    enter();
    count(NAME, &last);
    if (last) die();
    result = syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    saved = errno;
    if (result == 0) {
        record('N', a, b, 0, NULL, 0);
        a_len = strlen(a);
        for (int fd = 0; fd < FDS; fd++) {
            char *old = path_of[fd];
            if (!old || strncmp(old, a, a_len) || (old[a_len] && old[a_len] != '/')) continue;
            char moved[2 * PATH_MAX];
            snprintf(moved, sizeof moved, "%s%s", b, old + a_len);
            remember(fd, moved);
        }
    }
    leave();
    errno = saved;
    return result;
}

int rename(const char *from, const char *to) { return rename_name(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return rename_name(from_at, from, to_at, to, 0);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return rename_name(from_at, from, to_at, to, flags);
}

static int unlink_name(int at, const char *path, int flags) {
    char name[PATH_MAX];
    int last, result, saved;
    resolve(at, path, name);
    if (!inside(name)) return syscall(SYS_unlinkat, at, path, flags);
    enter();
    count(NAME, &last);
    if (last) die();
    result = syscall(SYS_unlinkat, at, path, flags);
    saved = errno;
    if (result == 0) record('U', name, "", 0, NULL, 0);
    leave();
    errno = saved;
    return result;
}

int unlink(const char *path) { return unlink_name(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlink_name(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int at, const char *path, int flags) { return unlink_name(at, path, flags); }

static int make_dir(int at, const char *path, mode_t mode) {
    char name[PATH_MAX];
    int last, error, result, saved;
    resolve(at, path, name);
    if (!inside(name)) return syscall(SYS_mkdirat, at, path, mode);
    enter();
    error = count(SPACE, &last);
    if (last) die();
    if (error) {
        leave();
        errno = error;
        return -1;
    }
    result = syscall(SYS_mkdirat, at, path, mode);
    saved = errno;
    if (result == 0) record('D', name, "", 0, NULL, 0);
    leave();
    errno = saved;
    return result;
}

int mkdir(const char *path, mode_t mode) { return make_dir(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return make_dir(at, path, mode); }

__attribute__((destructor)) static void finish(void) {
    const char *path = getenv("SHIM_COUNT");
    char line[96];
    int fd, len;
    if (!path) return;
    len = snprintf(line, sizeof line, "%ld %ld %ld\n", changes, spaces, syncs);
    fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) return;
    syscall(SYS_write, fd, line, len);
    syscall(SYS_close, fd);
}
