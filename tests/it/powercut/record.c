/* Records the file operations of a process, in order, for tests/it/powercut. It is loaded with LD_PRELOAD.
 *
 * CORTADO_RECORD_BELOW  operations on the file system of this directory are recorded
 * CORTADO_RECORD_LOG    the file to which they are appended
 * CORTADO_RECORD_FULL   from this operation on, writes fail with ENOSPC (1 is the first; never if unset)
 * CORTADO_RECORD_KILL   after this many recorded operations, the process is killed
 * CORTADO_RECORD_BAD    N:COUNT: from the Nth on, COUNT reads of a file `db` fail with EIO
 * CORTADO_RECORD_FLAG   while this file exists, all reads and syncs of a file `db` fail with EIO
 *
 * A record is one line; after W follow the bytes and a newline:
 *   C ino path      a file was created          K ino path      a directory was created
 *   W ino off len   bytes were written          F ino off len b len bytes of value b were written
 *   T ino len       a file's length was set     S ino           a file or a directory was synced
 *   R from\tto      a rename                    U path          a file or a directory was removed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char below[4096];
static dev_t device;
static int log_fd = -1;
static long full_from, operations, bad_from, bad_count, reads, kill_after, lines;
static const char *flag;

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("CORTADO_RECORD_BELOW"), *log = getenv("CORTADO_RECORD_LOG");
    const char *full = getenv("CORTADO_RECORD_FULL");
    struct stat found;
    if (!dir || !log || !realpath(dir, below) || stat(below, &found)) return;
    device = found.st_dev;
    full_from = full ? atol(full) : 0;
    kill_after = getenv("CORTADO_RECORD_KILL") ? atol(getenv("CORTADO_RECORD_KILL")) : 0;
    if (getenv("CORTADO_RECORD_BAD")) sscanf(getenv("CORTADO_RECORD_BAD"), "%ld:%ld", &bad_from, &bad_count);
    flag = getenv("CORTADO_RECORD_FLAG");
    log_fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void append(const void *bytes, size_t length) {
    REAL(write);
    for (const char *at = bytes; length > 0;) {
        ssize_t written = real(log_fd, at, length);
        if (written <= 0) abort();
        at += written, length -= (size_t)written;
    }
}

static void line(const char *format, ...) {
    char text[9000];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof text) abort();
    append(text, (size_t)length);
    if (kill_after && ++lines == kill_after) kill(getpid(), SIGKILL);
}

/* The absolute path below the recorded directory, or NULL. Only the last component may be missing. */
static const char *resolve(int dir, const char *path, char *into) {
    char full[8192], parent[4096];
    if (log_fd < 0 || !path) return NULL;
    if (path[0] == '/') {
        snprintf(full, sizeof full, "%s", path);
    } else if (dir == AT_FDCWD) {
        if (!getcwd(parent, sizeof parent)) return NULL;
        snprintf(full, sizeof full, "%s/%s", parent, path);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, parent, sizeof parent - 1);
        if (length < 0) return NULL;
        parent[length] = 0;
        snprintf(full, sizeof full, "%s/%s", parent, path);
    }
    size_t end = strlen(full);
    while (end > 1 && full[end - 1] == '/') full[--end] = 0;
    char *slash = strrchr(full, '/');
    if (!slash) return NULL;
    *slash = 0;
    if (!realpath(slash == full ? "/" : full, parent)) return NULL;
    snprintf(into, 4096, "%s/%s", strcmp(parent, "/") ? parent : "", slash + 1);
    size_t length = strlen(below);
    return !strncmp(into, below, length) && into[length] == '/' ? into : NULL;
}

/* Whether a descriptor is a file or directory on the recorded file system. */
static int recorded(int fd, struct stat *found) {
    return log_fd >= 0 && fd != log_fd && !fstat(fd, found) && found->st_dev == device &&
           (S_ISREG(found->st_mode) || S_ISDIR(found->st_mode));
}

/* Counts an operation that needs space, and makes it fail once the disk is to be full. */
static int refused(void) {
    operations++;
    if (!full_from || operations < full_from) return 0;
    errno = ENOSPC;
    return 1;
}

static int is_log(int fd) {
    char link[64], path[4096];
    struct stat found;
    if (!recorded(fd, &found) || !S_ISREG(found.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 3 && !memcmp(path + length - 3, "/db", 3);
}

/* Whether a read or a sync fails, because the flag file exists or the read is in the range of bad ones. */
static int is_bad(int fd, int is_read) {
    if ((!bad_from && !flag) || !is_log(fd)) return 0;
    long n = is_read ? __sync_add_and_fetch(&reads, 1) : 0;
    if ((flag && !access(flag, F_OK)) || (bad_from && n >= bad_from && n < bad_from + bad_count)) {
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t read(int fd, void *bytes, size_t length) { REAL(read); return is_bad(fd, 1) ? -1 : real(fd, bytes, length); }
ssize_t pread(int fd, void *bytes, size_t length, off_t at) { REAL(pread); return is_bad(fd, 1) ? -1 : real(fd, bytes, length, at); }
ssize_t pread64(int fd, void *bytes, size_t length, off64_t at) { REAL(pread64); return is_bad(fd, 1) ? -1 : real(fd, bytes, length, at); }

static void wrote(ino_t ino, off_t offset, const char *bytes, size_t length) {
    if (length > 64 && !memcmp(bytes, bytes + 1, length - 1)) {
        line("F %lu %ld %zu %d\n", ino, offset, length, (unsigned char)bytes[0]);
        return;
    }
    line("W %lu %ld %zu\n", ino, offset, length);
    append(bytes, length);
    append("\n", 1);
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
    REAL(openat);
    char full[4096];
    struct stat found;
    const char *known = flags & (O_CREAT | O_TRUNC) ? resolve(dir, path, full) : NULL;
    if (!known || (flags & O_TMPFILE) == O_TMPFILE) return real(dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = lstat(known, &found) != 0, fd = -1;
    if (!is_new || !refused()) fd = real(dir, path, flags, mode);
    int error = errno;
    if (fd >= 0 && !fstat(fd, &found) && S_ISREG(found.st_mode)) {
        if (is_new) line("C %lu %s\n", found.st_ino, known);
        else if (flags & O_TRUNC) line("T %lu 0\n", found.st_ino);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags) ({ mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list v; va_start(v, flags); mode = va_arg(v, mode_t); va_end(v); } mode; })
int open(const char *path, int flags, ...) { return opened(AT_FDCWD, path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...) { return opened(AT_FDCWD, path, flags, MODE(flags)); }
int openat(int dir, const char *path, int flags, ...) { return opened(dir, path, flags, MODE(flags)); }
int openat64(int dir, const char *path, int flags, ...) { return opened(dir, path, flags, MODE(flags)); }

#define DATA(call, position)                                         \
    struct stat found;                                               \
    if (!recorded(fd, &found)) return call;                          \
    pthread_mutex_lock(&lock);                                       \
    off_t at = position;                                             \
    ssize_t written = refused() ? -1 : call;                         \
    int error = errno;                                               \
    if (written > 0) wrote(found.st_ino, at, bytes, (size_t)written);\
    pthread_mutex_unlock(&lock);                                     \
    errno = error;                                                   \
    return written

static off_t position(int fd) {
    struct stat found;
    if (fcntl(fd, F_GETFL) & O_APPEND && !fstat(fd, &found)) return found.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t length) { REAL(write); DATA(real(fd, bytes, length), position(fd)); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { REAL(pwrite); DATA(real(fd, bytes, length, offset), offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { REAL(pwrite64); DATA(real(fd, bytes, length, offset), offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    struct stat found;
    if (!recorded(fd, &found)) return real(fd, parts, count);
    return count > 0 ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0; /* a short write is allowed */
}

/* Copies inside the kernel are refused, so that the caller falls back to write. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    REAL(copy_file_range);
    struct stat found;
    if (!recorded(out, &found)) return real(in, from, out, to, length, flags);
    errno = EXDEV;
    return -1;
}
static ssize_t no_sendfile(void) { errno = ENOSYS; return -1; }
ssize_t sendfile(int out, int in, off_t *offset, size_t count) { (void)out, (void)in, (void)offset, (void)count; return no_sendfile(); }
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { (void)out, (void)in, (void)offset, (void)count; return no_sendfile(); }

#define AFTER(call, condition, record)               \
    pthread_mutex_lock(&lock);                       \
    int result = (condition) ? call : -1;            \
    int error = errno;                               \
    if (result == 0) { record; }                     \
    pthread_mutex_unlock(&lock);                     \
    errno = error;                                   \
    return result

#define OF_FILE(call, record) struct stat found; if (!recorded(fd, &found)) return call; AFTER(call, 1, record)
int fsync(int fd) { REAL(fsync); if (is_bad(fd, 0)) return -1; OF_FILE(real(fd), line("S %lu\n", found.st_ino)); }
int fdatasync(int fd) { REAL(fdatasync); if (is_bad(fd, 0)) return -1; OF_FILE(real(fd), line("S %lu\n", found.st_ino)); }
int ftruncate(int fd, off_t length) { REAL(ftruncate); OF_FILE(real(fd, length), line("T %lu %ld\n", found.st_ino, length)); }
int ftruncate64(int fd, off64_t length) { REAL(ftruncate64); OF_FILE(real(fd, length), line("T %lu %ld\n", found.st_ino, length)); }

static int made(int dir, const char *path, mode_t mode) {
    REAL(mkdirat);
    char full[4096];
    struct stat found;
    const char *known = resolve(dir, path, full);
    if (!known) return real(dir, path, mode);
    AFTER(real(dir, path, mode), !refused(), if (!lstat(known, &found)) line("K %lu %s\n", found.st_ino, known));
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return made(dir, path, mode); }

static int renamed(int from_dir, const char *from, int to_dir, const char *to) {
    REAL(renameat);
    char one[4096], two[4096];
    const char *known = resolve(from_dir, from, one), *other = resolve(to_dir, to, two);
    if (!known || !other) return real(from_dir, from, to_dir, to);
    AFTER(real(from_dir, from, to_dir, to), 1, line("R %s\t%s\n", known, other));
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renamed(from_dir, from, to_dir, to); }

static int removed(int dir, const char *path, int flags) {
    REAL(unlinkat);
    char full[4096];
    const char *known = resolve(dir, path, full);
    if (!known) return real(dir, path, flags);
    AFTER(real(dir, path, flags), 1, line("U %s\n", known));
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int dir, const char *path, int flags) { return removed(dir, path, flags); }
