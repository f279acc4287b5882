// The first and only program of the Linux guest (see scripts/lib/linuxGuest.ts).
//
// It loads the virtio drivers, gives eth0 an address, and then shows from inside that the guest lives: every
// 10 ms a datagram to the host's port 7777, once a second a line on the console. A child goes over its memory for
// ever: every page must hold what the last round wrote there. The kernel itself answers pings.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { page_words = 512, beat_ms = 10 };

struct beat {
  uint64_t sequence;
  uint64_t rounds;
  uint64_t errors;
  uint64_t monotonic_ns;
};

static const char *const modules[] = {"virtio_ring", "virtio",   "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
                                      "virtio_pci", "failover",    "net_failover",          "virtio_net",
                                      "vmxnet3"};

// The counters of the memory's checker, shared with the beating process.
static volatile uint64_t *shared;

static void load(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/modules/%s.ko", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) printf("module %s: %m\n", name);
  if (fd >= 0) close(fd);
}

static int set_address(const char *address) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {.ifr_name = "eth0"};
  struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;
  in->sin_family = AF_INET;
  inet_pton(AF_INET, address, &in->sin_addr);
  for (int tries = 0; ioctl(fd, SIOCSIFADDR, &request) != 0; tries++) {
    if (tries > 500) return -1;
    usleep(10 * 1000);
  }
  inet_pton(AF_INET, "255.255.255.0", &in->sin_addr);
  ioctl(fd, SIOCSIFNETMASK, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ioctl(fd, SIOCSIFFLAGS, &request);
  return fd;
}

// Page i of round r holds r * 2^32 + i in its first and last word.
static void check_memory(size_t mebibytes) {
  size_t pages = mebibytes * 256;
  uint64_t *memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    shared[1]++;
    _exit(1);
  }
  for (uint64_t round = 1;; round++) {
    for (uint64_t i = 0; i < pages; i++) {
      uint64_t *page = memory + i * page_words;
      uint64_t wanted = round == 1 ? 0 : ((round - 1) << 32) + i;
      if (page[0] != wanted || page[page_words - 1] != wanted) shared[1]++;
      page[0] = page[page_words - 1] = (round << 32) + i;
      if (i % 64 == 63) usleep(2000);
    }
    shared[0] = round;
  }
}

int main(void) {
  mkdir("/dev", 0755);
  mount("devtmpfs", "/dev", "devtmpfs", 0, "");
  int console = open("/dev/ttyS0", O_RDWR);
  if (console >= 0) {
    dup2(console, 1);
    dup2(console, 2);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) load(modules[i]);
  int fd = set_address("10.77.0.2");
  if (fd < 0) printf("eth0: %m\n");

  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const char *mebibytes = getenv("dirty_mib");
  if (fork() == 0) check_memory(mebibytes == NULL ? 8 : strtoul(mebibytes, NULL, 10));

  struct sockaddr_in host = {.sin_family = AF_INET, .sin_port = htons(7777)};
  inet_pton(AF_INET, "10.77.0.1", &host.sin_addr);
  struct beat beat = {0};
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (;;) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    beat.sequence++;
    beat.rounds = shared[0];
    beat.errors = shared[1];
    beat.monotonic_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    sendto(fd, &beat, sizeof beat, 0, (struct sockaddr *)&host, sizeof host);
    if (beat.sequence % 100 == 1)
      printf("beat %llu rounds %llu errors %llu\n", (unsigned long long)beat.sequence, (unsigned long long)beat.rounds,
             (unsigned long long)beat.errors);
    next.tv_nsec += beat_ms * 1000000;
    if (next.tv_nsec >= 1000000000) {
      next.tv_nsec -= 1000000000;
      next.tv_sec++;
    }
    // After a pause, go on from now: beats that were missed are not made up for.
    if (now.tv_sec > next.tv_sec + 1) next = now;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
}
