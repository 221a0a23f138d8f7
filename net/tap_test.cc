// Tests of TAP interfaces, in a network namespace of their own. They need root (CAP_SYS_ADMIN and
// CAP_NET_ADMIN) and /dev/net/tun.

#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace net {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Removes CAP_NET_ADMIN from this thread while it exists.
class WithoutNetAdmin {
 public:
  WithoutNetAdmin() { Set(false); }
  ~WithoutNetAdmin() { Set(true); }

 private:
  static void Set(bool on) {
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> data = {};
    ASSERT_EQ(syscall(SYS_capget, &header, data.data()), 0);
    const uint32_t bit = 1u << CAP_NET_ADMIN;
    data[0].effective = on ? data[0].effective | bit : data[0].effective & ~bit;
    ASSERT_EQ(syscall(SYS_capset, &header, data.data()), 0);
  }
};

class TapTest : public ::testing::Test {
 protected:
  // All tests share one namespace: the program has one thread.
  static void SetUpTestSuite() { namespace_error_ = unshare(CLONE_NEWNET) == 0 ? 0 : errno; }
  void SetUp() override {
    if (namespace_error_ != 0) GTEST_SKIP() << "no namespace: " << strerror(namespace_error_);
    if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/net/tun";
  }

  static TapOptions Options(const std::string& name, uint32_t queues = 1) {
    TapOptions options;
    options.key = "net[0].tap";
    options.name = name;
    options.queues = queues;
    return options;
  }
  static std::string ErrorOf(const TapOptions& options) {
    const absl::StatusOr<Tap> tap = OpenTap(options);
    return tap.ok() ? "" : std::string(tap.status().message());
  }
  static ifreq Ask(const std::string& name, unsigned long operation) {
    const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = {};
    std::memcpy(request.ifr_name, name.data(), name.size());
    EXPECT_EQ(ioctl(socket.get(), operation, &request), 0) << strerror(errno);
    return request;
  }
  // Makes an interface that stays, for a user.
  static base::UniqueFd Make(const std::string& name, int flags, uid_t owner) {
    base::UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request = {};
    std::memcpy(request.ifr_name, name.data(), name.size());
    request.ifr_flags = static_cast<int16_t>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
    EXPECT_EQ(ioctl(fd.get(), TUNSETIFF, &request), 0) << strerror(errno);
    EXPECT_EQ(ioctl(fd.get(), TUNSETOWNER, owner), 0);
    EXPECT_EQ(ioctl(fd.get(), TUNSETPERSIST, 1), 0);
    return fd;
  }

  static int namespace_error_;
};
int TapTest::namespace_error_ = 0;

TEST_F(TapTest, InterfaceIsMadeAndSetUpAndVanishes) {
  {
    TapOptions options = Options("t0");
    options.mac = MacAddress{0x02, 0, 0, 0, 0, 9};
    options.mtu = 9000;
    options.ip = "10.1.2.3";
    options.mask = "255.255.0.0";
    const absl::StatusOr<Tap> tap = OpenTap(options);
    ASSERT_TRUE(tap.ok()) << tap.status();
    EXPECT_EQ(tap->name, "t0");
    EXPECT_EQ(tap->mtu, 9000u);
    EXPECT_EQ(tap->ports.size(), 1u);
    EXPECT_NE(Ask("t0", SIOCGIFFLAGS).ifr_flags & IFF_UP, 0);
    EXPECT_EQ(Ask("t0", SIOCGIFHWADDR).ifr_hwaddr.sa_data[5], 9);
    EXPECT_EQ(Ask("t0", SIOCGIFMTU).ifr_mtu, 9000);
  }
  EXPECT_EQ(if_nametoindex("t0"), 0u);
}

TEST_F(TapTest, FramesGoBothWays) {
  absl::StatusOr<Tap> tap = OpenTap(Options("t0"));
  ASSERT_TRUE(tap.ok()) << tap.status();
  Port& port = *tap->ports[0];
  const base::UniqueFd host(
      socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(0x88b5)));
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(0x88b5);  // for experiments
  address.sll_ifindex = static_cast<int>(if_nametoindex("t0"));
  ASSERT_EQ(bind(host.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);

  std::array<uint8_t, kVnetHeaderBytes> header = {};
  std::vector<uint8_t> frame(100, 0x5a);
  frame[12] = 0x88;
  frame[13] = 0xb5;
  const std::array<iovec, 2> out = {iovec{header.data(), header.size()},
                                    iovec{frame.data(), frame.size()}};
  ASSERT_EQ(port.Send(out), 0);
  std::vector<uint8_t> got(200);
  ASSERT_EQ(recv(host.get(), got.data(), got.size(), 0), 100);
  got.resize(100);
  EXPECT_EQ(got, frame);

  ASSERT_EQ(send(host.get(), frame.data(), frame.size(), 0), 100);
  std::vector<uint8_t> received(200);
  const std::array<iovec, 2> in = {iovec{header.data(), header.size()},
                                   iovec{received.data(), received.size()}};
  // The host's own frames (router solicitations) may come first.
  int32_t result = 0;
  do {
    result = port.Receive(in);
  } while (result >= 0 && !(received[12] == 0x88 && received[13] == 0xb5));
  EXPECT_EQ(result, 112);
  received.resize(100);
  EXPECT_EQ(received, frame);
  do {
    result = port.Receive(in);
  } while (result >= 0);
  EXPECT_EQ(result, -EAGAIN);
}

TEST_F(TapTest, QueuesAreAttachedAndDetached) {
  absl::StatusOr<Tap> tap = OpenTap(Options("t0", 2));
  ASSERT_TRUE(tap.ok()) << tap.status();
  ASSERT_EQ(tap->ports.size(), 2u);
  EXPECT_EQ(tap->ports[1]->SetActive(false), 0);
  EXPECT_EQ(tap->ports[1]->SetActive(true), 0);
  EXPECT_EQ(tap->ports[0]->SetOffloads(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), 0);
  EXPECT_EQ(tap->ports[0]->SetOffloads(TUN_F_TSO4), -EINVAL);  // TSO without checksums
}

TEST_F(TapTest, InterfaceOfTheUserNeedsNoCapability) {
  base::UniqueFd fd = Make("t1", 0, getuid());
  fd.reset();
  {
    const WithoutNetAdmin without;
    const absl::StatusOr<Tap> tap = OpenTap(Options("t1"));
    EXPECT_TRUE(tap.ok()) << tap.status();
  }
  EXPECT_EQ(ioctl(Make("t1", 0, getuid()).get(), TUNSETPERSIST, 0), 0);
}

TEST_F(TapTest, MissingInterfaceSaysHowToMakeIt) {
  const WithoutNetAdmin without;
  EXPECT_EQ(ErrorOf(Options("none")),
            "net[0].tap: none: cannot open it: Operation not permitted (EPERM); there is no such "
            "interface: make it with `ip tuntap add dev none mode tap user USER vnet_hdr`, or give "
            "vmm CAP_NET_ADMIN");
  EXPECT_THAT(ErrorOf(Options("none", 2)), HasSubstr("vnet_hdr multi_queue`"));
}

TEST_F(TapTest, InterfaceOfAnotherUserIsNamed) {
  base::UniqueFd fd = Make("t2", 0, 12345);
  fd.reset();
  {
    const WithoutNetAdmin without;
    EXPECT_EQ(ErrorOf(Options("t2")),
              "net[0].tap: t2: cannot open it: Operation not permitted (EPERM); it belongs to "
              "another user: make it with `user` of this one");
  }
  EXPECT_EQ(ioctl(Make("t2", 0, 0).get(), TUNSETPERSIST, 0), 0);
}

TEST_F(TapTest, BusyInterfaceIsNamed) {
  const absl::StatusOr<Tap> first = OpenTap(Options("t3"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(ErrorOf(Options("t3")),
            "net[0].tap: t3: cannot open it: Device or resource busy (EBUSY); another program uses "
            "it; each VM needs its own");
}

TEST_F(TapTest, WrongKindsOfInterfacesAreNamed) {
  EXPECT_EQ(
      ErrorOf(Options("lo")),
      "net[0].tap: lo: cannot open it: Invalid argument (EINVAL); it is no TAP interface with "
      "one queue: make it with `mode tap`, without `multi_queue`");
  const absl::StatusOr<Tap> one = OpenTap(Options("t4"));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(ErrorOf(Options("t4", 2)), HasSubstr("it is no TAP interface with several queues"));
}

TEST_F(TapTest, SettingsWithoutTheCapabilityAreErrors) {
  base::UniqueFd fd = Make("t5", 0, getuid());
  fd.reset();
  {
    const WithoutNetAdmin without;
    TapOptions options = Options("t5");
    options.mtu = 9000;
    EXPECT_THAT(ErrorOf(options),
                StartsWith("net[0].tap: t5: cannot set its MTU to 9000: Operation not permitted"));
    options.mtu = 1500;  // is so already
    EXPECT_EQ(ErrorOf(options), "");
    options.ip = "10.0.0";
    EXPECT_THAT(ErrorOf(options), HasSubstr("\"10.0.0\", which is no IPv4 address"));
  }
  EXPECT_EQ(ioctl(Make("t5", 0, getuid()).get(), TUNSETPERSIST, 0), 0);
}

// A queue as a program passes it: without FD_CLOEXEC.
uint64_t Inherited(base::UniqueFd fd) {
  EXPECT_EQ(fcntl(fd.get(), F_SETFD, 0), 0);
  return static_cast<uint64_t>(fd.release());
}

TEST_F(TapTest, InheritedQueuesAreTakenOver) {
  std::vector<uint64_t> fds(2);
  for (uint64_t& fd : fds) fd = Inherited(Make("t6", IFF_MULTI_QUEUE, getuid()));
  ifreq request = Ask("t6", SIOCGIFMTU);
  request.ifr_mtu = 4000;
  const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(ioctl(socket.get(), SIOCSIFMTU, &request), 0);
  const absl::StatusOr<Tap> tap = AdoptTap("net[0].fds", fds);
  ASSERT_TRUE(tap.ok()) << tap.status();
  EXPECT_EQ(tap->name, "t6");
  EXPECT_EQ(tap->mtu, 4000u);
  EXPECT_FALSE(tap->guest_mac.has_value());
  EXPECT_TRUE(tap->in_this_namespace);
  ASSERT_EQ(tap->ports.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const int fd = tap->ports[i]->fd();
    EXPECT_EQ(fd, static_cast<int>(fds[i]));
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    int header_bytes = 0;
    EXPECT_EQ(ioctl(fd, TUNGETVNETHDRSZ, &header_bytes), 0);
    EXPECT_EQ(header_bytes, static_cast<int>(kVnetHeaderBytes));
  }
  EXPECT_EQ(ioctl(tap->ports[0]->fd(), TUNSETPERSIST, 0), 0);
}

TEST_F(TapTest, DescriptorsThatAreNoQueuesAreNamed) {
  const auto error = [](std::vector<uint64_t> fds) {
    return std::string(AdoptTap("net[0].fds", fds).status().message());
  };
  EXPECT_EQ(error({987}),
            "net[0].fds[0]: 987: no such descriptor was passed; the program that starts vmm has to "
            "open it");
  const base::UniqueFd own = Make("t7", 0, getuid());
  EXPECT_THAT(error({static_cast<uint64_t>(own.get())}),
              HasSubstr("no such descriptor was passed"));
  const uint64_t null = Inherited(base::UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)));
  EXPECT_THAT(error({null}), HasSubstr(": is no TAP or macvtap interface: Inappropriate ioctl"));
  close(static_cast<int>(null));

  for (const int mode : {IFF_TAP | IFF_NO_PI, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR}) {
    base::UniqueFd other(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request = {};
    std::strcpy(request.ifr_name, "t8");
    request.ifr_flags = static_cast<int16_t>(mode);
    ASSERT_EQ(ioctl(other.get(), TUNSETIFF, &request), 0);
    const uint64_t fd = Inherited(std::move(other));
    EXPECT_THAT(error({fd}), HasSubstr(": t8: is not in the right mode; open it with IFF_TAP, "
                                       "IFF_NO_PI and IFF_VNET_HDR"));
    close(static_cast<int>(fd));
  }

  const std::vector<uint64_t> different = {Inherited(Make("t9", IFF_MULTI_QUEUE, getuid())),
                                           Inherited(Make("t10", IFF_MULTI_QUEUE, getuid()))};
  for (const uint64_t fd : different) ioctl(static_cast<int>(fd), TUNSETPERSIST, 0);
  EXPECT_THAT(error(different), HasSubstr(": is a queue of t10, and net[0].fds[0] is one of t9; "));
  close(static_cast<int>(different[1]));
  EXPECT_EQ(ioctl(own.get(), TUNSETPERSIST, 0), 0);
}

TEST_F(TapTest, MissingMacvtapInterfaceSaysHowToMakeIt) {
  TapOptions options = Options("none");
  options.key = "net[0].macvtap";
  EXPECT_EQ(OpenMacvtap(options).status().message(),
            "net[0].macvtap: none: no such interface; make it with `ip link add link "
            "HOST_INTERFACE name none type macvtap mode bridge`");
  options.name = "lo";
  EXPECT_EQ(OpenMacvtap(options).status().message(),
            "net[0].macvtap: lo: cannot open /dev/tap1: No such file or directory (ENOENT); it is "
            "no macvtap interface, or its device is not there yet");
}

}  // namespace
}  // namespace net
