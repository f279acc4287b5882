/* The offloads of a TAP: no ioctl of its own tells them, the features of its interface do. */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FEATURES = 256, FEATURE_WORDS = MAX_FEATURES / 32 };

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* The kernel switches USO on for both versions of IP or for none. */
static const struct {
  const char *name;
  int flags;
} features[OFFLOAD_FEATURES] = {
    {"tx-checksum-ip-generic", TUN_F_CSUM},    {"tx-tcp-segmentation", TUN_F_TSO4},
    {"tx-tcp6-segmentation", TUN_F_TSO6},      {"tx-tcp-ecn-segmentation", TUN_F_TSO_ECN},
    {"tx-udp-segmentation", TUN_F_USO4 | TUN_F_USO6},
};

static bool same_namespace(int a, int b) {
  struct stat one, other;
  return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

static int any_socket(void) {
  return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* A socket stays in the namespace where it was made. Ends this process rather than stay in another. */
static int socket_in(int namespace) {
  const int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int made = -1;
  if (own == -1) {
    return -1;
  }
  if (same_namespace(own, namespace)) {
    made = any_socket();
  } else if (setns(namespace, CLONE_NEWNET) == 0) {
    made = any_socket();
    const int error = errno;
    if (setns(own, CLONE_NEWNET) != 0) {
      _exit(OUTCOME_SETUP_FAILED);
    }
    errno = error;
  }
  const int error = errno;
  (void)close(own);
  errno = error;
  return made;
}

static void name_interface(struct ifreq *request, const struct held_tap *tap, void *data) {
  memset(request, 0, sizeof *request);
  memcpy(request->ifr_name, tap->remote.ifname, sizeof request->ifr_name);
  request->ifr_data = data;
}

/*
 * The namespace may not be asked for without CAP_NET_ADMIN in it. Then the interface of that name in
 * our own is believed to be the same one if it has the same address.
 */
static int socket_beside(const struct held_tap *tap) {
  struct ifreq here, there;
  const int made = any_socket();
  memset(&there, 0, sizeof there);
  name_interface(&here, tap, NULL);
  if (made != -1 && tap_control(tap->fd, SIOCGIFHWADDR, &there) == 0 &&
      tap_control(made, SIOCGIFHWADDR, &here) == 0 &&
      memcmp(here.ifr_hwaddr.sa_data, there.ifr_hwaddr.sa_data, 6) == 0) {
    return made;
  }
  if (made != -1) {
    (void)close(made);
  }
  errno = EPERM;
  return -1;
}

static bool ask(const struct held_tap *tap, void *command) {
  struct ifreq request;
  name_interface(&request, tap, command);
  return tap_control(tap->asks, SIOCETHTOOL, &request) == 0;
}

/* Where each feature is in the words that the kernel fills. */
static bool find_features(struct held_tap *tap) {
  static union {
    struct ethtool_sset_info info;
    struct ethtool_gstrings strings;
    unsigned char bytes[sizeof(struct ethtool_gstrings) + MAX_FEATURES * ETH_GSTRING_LEN];
  } block;
  unsigned count = 0;
  memset(&block, 0, sizeof block);
  block.info.cmd = ETHTOOL_GSSET_INFO;
  block.info.sset_mask = 1ULL << ETH_SS_FEATURES;
  if (!ask(tap, &block.info)) {
    return false;
  }
  memcpy(&count, block.bytes + sizeof block.info, sizeof count);
  if (block.info.sset_mask == 0 || count == 0 || count > MAX_FEATURES) {
    errno = EOPNOTSUPP;
    return false;
  }
  memset(&block, 0, sizeof block);
  block.strings.cmd = ETHTOOL_GSTRINGS;
  block.strings.string_set = ETH_SS_FEATURES;
  block.strings.len = count;
  if (!ask(tap, &block.strings)) {
    return false;
  }
  for (size_t each = 0; each < OFFLOAD_FEATURES; each++) {
    tap->feature_at[each] = -1;
    for (unsigned i = 0; i < count; i++) {
      const unsigned char *name = block.bytes + sizeof block.strings + i * ETH_GSTRING_LEN;
      if (strncmp((const char *)name, features[each].name, ETH_GSTRING_LEN) == 0) {
        tap->feature_at[each] = (int)i;
      }
    }
  }
  /* The last is of Linux 6.2; without the first nothing is known. */
  errno = EOPNOTSUPP;
  return tap->feature_at[0] != -1;
}

int read_offloads(const struct held_tap *tap) {
  static union {
    struct ethtool_gfeatures get;
    unsigned char bytes[sizeof(struct ethtool_gfeatures) +
                        FEATURE_WORDS * sizeof(struct ethtool_get_features_block)];
  } block;
  int flags = 0;
  if (tap->asks == -1) {
    return -1;
  }
  memset(&block, 0, sizeof block);
  block.get.cmd = ETHTOOL_GFEATURES;
  block.get.size = FEATURE_WORDS;
  if (!ask(tap, &block.get)) {
    return -1;
  }
  for (size_t each = 0; each < OFFLOAD_FEATURES; each++) {
    const int at = tap->feature_at[each];
    struct ethtool_get_features_block word;
    if (at == -1) {
      continue;
    }
    memcpy(&word, block.bytes + sizeof block.get + (size_t)(at / 32) * sizeof word, sizeof word);
    flags |= (word.active & (1U << (at % 32))) != 0 ? features[each].flags : 0;
  }
  return flags;
}

void find_offloads(struct held_tap *tap) {
  const int namespace = (int)tap_control(tap->fd, TUNGETDEVNETNS, NULL);
  tap->asks = namespace == -1 ? socket_beside(tap) : socket_in(namespace);
  if (namespace != -1) {
    const int error = errno;
    (void)close(namespace);
    errno = error;
  }
  if (tap->asks != -1 && find_features(tap)) {
    return;
  }
  tap->offloads_error = errno;
  if (tap->asks != -1) {
    (void)close(tap->asks);
    tap->asks = -1;
  }
}
