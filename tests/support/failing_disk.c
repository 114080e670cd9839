/* A disk that fails as it is told to: for tests, by LD_PRELOAD.

   PCRLOG_TEST_FAULTS names a file. Each line is `<call> <errno> <path>`: a call of this
   name on a file whose path has <path> in it fails with this number. The file is read at
   each call, so a test changes it while programs run. Calls: open (for writing), write,
   sync, rename. PCRLOG_TEST_CLOCK names a file with seconds by which the clock is ahead.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int content(const char *variable, char *text, size_t size) {
  const char *name = getenv(variable);
  if (!name) return 0;
  int file = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
  if (file < 0) return 0;
  long length = syscall(SYS_read, file, text, size - 1);
  syscall(SYS_close, file);
  text[length > 0 ? length : 0] = 0;
  return length > 0;
}

/* The number with which a call on a path is to fail, or 0. */
static int fault(const char *call, const char *path) {
  char rules[4096], *rest = rules, *line;
  int kept = errno, number = 0;
  if (content("PCRLOG_TEST_FAULTS", rules, sizeof rules))
    while (!number && (line = strsep(&rest, "\n"))) {
      char name[16], part[1024];
      int found;
      if (sscanf(line, "%15s %d %1023s", name, &found, part) == 3 &&
          !strcmp(name, call) && strstr(path, part))
        number = found;
    }
  errno = kept;
  return number;
}

static int fault_of_file(const char *call, int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return fault(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(expression)    \
  do {                         \
    int number = (expression); \
    if (number) {              \
      errno = number;          \
      return -1;               \
    }                          \
  } while (0)

ssize_t write(int file, const void *data, size_t size) {
  FAIL_IF(fault_of_file("write", file));
  return syscall(SYS_write, file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
  FAIL_IF(fault_of_file("write", file));
  return syscall(SYS_pwrite64, file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  FAIL_IF(fault_of_file("write", file));
  return syscall(SYS_pwrite64, file, data, size, at);
}

int fsync(int file) {
  FAIL_IF(fault_of_file("sync", file));
  return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
  FAIL_IF(fault_of_file("sync", file));
  return syscall(SYS_fdatasync, file);
}

int rename(const char *from, const char *to) {
  FAIL_IF(fault("rename", to));
  return REAL(rename)(from, to);
}

static int writes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0; }

static int open_it(int folder, const char *path, int flags, mode_t mode) {
  FAIL_IF(writes(flags) ? fault("open", path) : 0);
  return syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);
}

#define OPEN(name, folder, ...)                       \
  int name(__VA_ARGS__ const char *path, int flags, ...) { \
    va_list more;                                     \
    va_start(more, flags);                            \
    mode_t mode = va_arg(more, int);                  \
    va_end(more);                                     \
    return open_it(folder, path, flags, mode);        \
  }
#define FOLDER int folder,
#define NONE
OPEN(open, AT_FDCWD, NONE)
OPEN(open64, AT_FDCWD, NONE)
OPEN(openat, folder, FOLDER)
OPEN(openat64, folder, FOLDER)

int clock_gettime(clockid_t which, struct timespec *now) {
  char text[64];
  int status = syscall(SYS_clock_gettime, which, now);
  if (!status && which == CLOCK_REALTIME &&
      content("PCRLOG_TEST_CLOCK", text, sizeof text))
    now->tv_sec += atol(text);
  return status;
}
