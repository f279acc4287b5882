// Watches the Linux guest from outside: pings it every 10 ms, and hears its datagrams. One line an event:
//
//   s SEQ NS            an echo request was sent
//   r SEQ NS            its reply came
//   b SEQ NS ROUNDS ERRORS   a beat of the guest's init came
//
// NS is the host's wall clock, so that it compares with the timestamps of QEMU's events. Ends when stdin does.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct beat {
  uint64_t sequence;
  uint64_t rounds;
  uint64_t errors;
  uint64_t monotonic_ns;
};

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint16_t checksum(const uint16_t *words, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += words[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

// The kernel's stamp of the packet: not late when this program is.
static ssize_t receive(int fd, void *buffer, size_t size, uint64_t *at) {
  struct iovec part = {buffer, size};
  char control[128];
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
  *at = now_ns();
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); length >= 0 && c != NULL; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
    struct timespec stamp;
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    *at = (uint64_t)stamp.tv_sec * 1000000000u + (uint64_t)stamp.tv_nsec;
  }
  return length;
}

int main(int argc, char **argv) {
  const char *guest_address = argc > 1 ? argv[1] : "10.77.0.2";
  setvbuf(stdout, NULL, _IOLBF, 0);
  int icmp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (icmp < 0 || udp < 0 || timer < 0) die("netwatch");
  int on = 1;
  setsockopt(icmp, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  setsockopt(udp, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(7777)};
  if (bind(udp, (struct sockaddr *)&here, sizeof here) != 0) die("bind");
  struct sockaddr_in guest = {.sin_family = AF_INET};
  inet_pton(AF_INET, guest_address, &guest.sin_addr);
  struct itimerspec every = {{0, 10 * 1000000}, {0, 10 * 1000000}};
  timerfd_settime(timer, 0, &every, NULL);
  uint16_t id = htons((uint16_t)getpid());
  uint16_t sequence = 0;
  uint64_t sent = 0;
  struct pollfd polled[] = {{0, POLLIN, 0}, {timer, POLLIN, 0}, {icmp, POLLIN, 0}, {udp, POLLIN, 0}};
  for (;;) {
    if (poll(polled, 4, -1) < 0 && errno != EINTR) die("poll");
    char buffer[2048];
    uint64_t at;
    if (polled[0].revents != 0 && read(0, buffer, sizeof buffer) <= 0) return 0;
    if (polled[1].revents != 0) {
      uint64_t ticks;
      if (read(timer, &ticks, sizeof ticks) < 0) die("timer");
      struct {
        struct icmphdr header;
        uint64_t number;
        char data[40];
      } request = {.header = {.type = ICMP_ECHO}, .number = ++sent};
      request.header.un.echo.id = id;
      request.header.un.echo.sequence = htons(++sequence);
      request.header.checksum = checksum((uint16_t *)&request, sizeof request / 2);
      at = now_ns();
      // Full queues and a link that is down lose a ping as well; the count of replies tells.
      sendto(icmp, &request, sizeof request, MSG_DONTWAIT, (struct sockaddr *)&guest, sizeof guest);
      printf("s %llu %llu\n", (unsigned long long)sent, (unsigned long long)at);
    }
    for (ssize_t length; (length = receive(icmp, buffer, sizeof buffer, &at)) >= 0;) {
      size_t head = (size_t)(buffer[0] & 15) * 4;
      struct icmphdr *reply = (struct icmphdr *)(buffer + head);
      uint64_t number;
      if ((size_t)length < head + sizeof *reply + sizeof number) continue;
      if (reply->type != ICMP_ECHOREPLY || reply->un.echo.id != id) continue;
      memcpy(&number, reply + 1, sizeof number);
      printf("r %llu %llu\n", (unsigned long long)number, (unsigned long long)at);
    }
    struct beat beat;
    for (ssize_t length; (length = receive(udp, &beat, sizeof beat, &at)) >= 0;) {
      if (length != sizeof beat) continue;
      printf("b %llu %llu %llu %llu\n", (unsigned long long)beat.sequence, (unsigned long long)at,
             (unsigned long long)beat.rounds, (unsigned long long)beat.errors);
    }
  }
}
