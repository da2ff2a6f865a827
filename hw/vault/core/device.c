/*
 * The device's part of the key, from where it is straight onto the secret stack:
 *
 *     file       path --read(2)--> | secret |
 *     command    program, arguments --posix_spawn--> its standard output --read(2)--> | secret |   exit code 0
 *
 * What the program itself keeps meanwhile, and what the pipe of the kernel held, is beyond our reach. It gets nothing
 * of our environment, no input, ten seconds, and a group of its own, so that all of it ends when the time is over.
 */
#define _GNU_SOURCE /* pipe2 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_MOST = 32, LOOK_AGAIN_MS = 5 };

#ifdef VAULT_TESTING
int device_timeout_ms = 10 * 1000;
#else
enum { device_timeout_ms = 10 * 1000 };
#endif

static int64_t now_ms(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until something can be read, or until the time is over. */
static int is_ready(int file, int64_t until) {
  struct pollfd one = {.fd = file, .events = POLLIN};
  for (;;) {
    int64_t left = until - now_ms();
    if (left <= 0) return 0;
    int ready = poll(&one, 1, (int)left);
    if (ready > 0) return 1;
    if (ready == 0 || errno != EINTR) return 0;
  }
}

/* All there is, if it fits. */
static int read_secret(int file, uint8_t secret[DEVICE_SECRET_BYTES_MOST], size_t *length, int64_t until) {
  uint8_t more;
  for (;;) {
    if (!is_ready(file, until)) return 0;
    int full = *length == DEVICE_SECRET_BYTES_MOST;
    ssize_t got = read(file, full ? &more : secret + *length, full ? 1 : DEVICE_SECRET_BYTES_MOST - *length);
    if (got == 0) return *length >= DEVICE_SECRET_BYTES_LEAST;
    if (got < 0 && errno != EINTR && errno != EAGAIN) return 0;
    if (got > 0 && full) return 0;
    if (got > 0) *length += (size_t)got;
  }
}

static int read_file(const char *path, uint8_t secret[DEVICE_SECRET_BYTES_MOST], size_t *length) {
  struct stat about;
  int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return 0;
  int done = fstat(file, &about) == 0 && S_ISREG(about.st_mode) &&
             read_secret(file, secret, length, now_ms() + device_timeout_ms);
  (void)close(file);
  return done;
}

/* ---- commands ---- */

/* Signals as they are for a fresh program: Node ignores some and blocks others. */
static int set_attributes(posix_spawnattr_t *attributes) {
  sigset_t all, none;
  (void)sigfillset(&all);
  (void)sigemptyset(&none);
  return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP) == 0 &&
         posix_spawnattr_setsigdefault(attributes, &all) == 0 && posix_spawnattr_setsigmask(attributes, &none) == 0 &&
         posix_spawnattr_setpgroup(attributes, 0) == 0;
}

static int set_files(posix_spawn_file_actions_t *files, int output) {
  return posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
         posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO) == 0 &&
         posix_spawn_file_actions_addopen(files, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0;
}

/* 0 when it could not be started. */
static pid_t start(char *const words[], int output) {
  static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char *const environment[] = {path, NULL};
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  pid_t program = 0;
  if (posix_spawnattr_init(&attributes) != 0) return 0;
  if (posix_spawn_file_actions_init(&files) == 0) {
    if (!set_attributes(&attributes) || !set_files(&files, output) ||
        posix_spawn(&program, words[0], &files, &attributes, words, environment) != 0) {
      program = 0;
    }
    (void)posix_spawn_file_actions_destroy(&files);
  }
  (void)posix_spawnattr_destroy(&attributes);
  return program;
}

/* Whether it ended well and in time; ended it is in any case. */
static int ends_well(pid_t program, int64_t until) {
  int status = -1;
  pid_t ended;
  while ((ended = waitpid(program, &status, WNOHANG)) == 0 && now_ms() < until) {
    (void)poll(NULL, 0, LOOK_AGAIN_MS);
  }
  if (ended == 0) {
    (void)kill(-program, SIGKILL);
    while (waitpid(program, &status, 0) < 0 && errno == EINTR) continue;
  }
  return ended == program && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int read_command(char *const words[], uint8_t secret[DEVICE_SECRET_BYTES_MOST], size_t *length) {
  int ends[2];
  int64_t until = now_ms() + device_timeout_ms;
  if (pipe2(ends, O_CLOEXEC) != 0) return 0;
  pid_t program = start(words, ends[1]);
  (void)close(ends[1]);
  int done = program != 0 && read_secret(ends[0], secret, length, until);
  (void)close(ends[0]);
  return program != 0 && ends_well(program, done ? until : now_ms()) && done;
}

/* Each word ends in a zero. 0: none, too many, or not ended. */
static int split(vault_bytes bytes, char *words[WORDS_MOST + 1]) {
  int count = 0;
  if (bytes.length == 0 || bytes.at[bytes.length - 1] != 0) return 0;
  for (size_t at = 0; at < bytes.length; at += strlen((const char *)bytes.at + at) + 1) {
    if (count == WORDS_MOST) return 0;
    words[count++] = (char *)(uintptr_t)(bytes.at + at); /* posix_spawn leaves them as they are */
  }
  words[count] = NULL;
  return count;
}

vault_result device_read(const vault_device *device, uint8_t secret[DEVICE_SECRET_BYTES_MOST], size_t *length) {
  char *words[WORDS_MOST + 1];
  *length = 0;
  int count = split(device->words, words);
  int done = device->is_command ? count > 0 && read_command(words, secret, length)
                                : count == 1 && read_file(words[0], secret, length);
  if (done) return VAULT_OK;
  explicit_bzero(secret, DEVICE_SECRET_BYTES_MOST);
  *length = 0;
  return VAULT_NO_DEVICE;
}
