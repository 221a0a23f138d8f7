// What a hostile driver can do to the queues and connections of a socket device.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/hostile_driver.h"
#include "virtio/vsock/testing/vsock_fixtures.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VMM_SANITIZED  // mallinfo2 knows nothing
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VMM_SANITIZED
#endif
#endif
#ifdef VMM_SANITIZED
// Debian's GCC has no header for it. NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace virtio {
namespace {

constexpr uint64_t kAllFeatures = ~uint64_t{0};
// Buffers for events stay in their ring, so that queue is never read.
constexpr uint16_t kQueues[] = {kRx, kTx};

class VsockHostileTest : public VsockTest {
 protected:
  explicit VsockHostileTest(uint16_t queue_size = 8, size_t max_files = 256)
      : VsockTest({.loop = {.max_files = max_files}, .queue_size = queue_size}) {}

  // Makes the device owe the guest a reset.
  void Provoke() { Send(Header(VIRTIO_VSOCK_OP_RW, 1, 2)); }

  HostileTarget Target(uint16_t queue) {
    HostileTarget target = {.harness = harness_,
                            .device = *device_,
                            .queue = queue,
                            .writable = queue == kRx,
                            .offer_good = nullptr,
                            .expect_good = nullptr};
    if (queue == kRx) {
      target.stimulate = [this] { Provoke(); };
      target.offer_good = [this] { harness_.driver(kRx).Chain().Writable(100).Offer(); };
      target.expect_good = [this] {
        Provoke();
        harness_.driver(kRx).Chain().Writable(100).Offer();
        harness_.Publish(kRx);
        const auto used = harness_.driver(kRx).PopUsed();
        ASSERT_TRUE(used.has_value());
        EXPECT_EQ(used->len, sizeof(VsockHeader));
      };
    } else {
      target.offer_good = [this] {
        const VsockHeader header = Header(VIRTIO_VSOCK_OP_RST, 1, 2);
        harness_.driver(kTx).Chain().Readable(base::BytesOf(header)).Offer();
      };
      target.expect_good = [this] {
        const uint64_t before = Counter("chains");
        Send(Header(VIRTIO_VSOCK_OP_RST, 1, 2));
        EXPECT_EQ(Counter("chains"), before + 1);
      };
    }
    return target;
  }

  // Returns a listener whose clients DropClients takes and closes.
  base::UnixListener ListenWithoutWaiting(uint32_t port) {
    base::UnixListener listener = Listen(port);
    EXPECT_EQ(fcntl(listener.fd(), F_SETFL, O_NONBLOCK), 0);
    return listener;
  }
  static void DropClients(base::UnixListener& listener) {
    while (base::UniqueFd(accept(listener.fd(), nullptr, nullptr)).valid()) {
    }
  }
  // Returns the bytes that this process has allocated, without what the fake loop writes down.
  size_t AllocatedBytes() {
#ifdef VMM_SANITIZED
    const size_t all = __sanitizer_get_current_allocated_bytes();
#else
    const struct mallinfo2 info = mallinfo2();
    const size_t all = info.uordblks + info.hblkhd;  // on the heap, and in mappings of their own
#endif
    return all - harness_.loop().events().capacity() * sizeof(base::FakeEventLoop::Event);
  }
};

TEST_F(VsockHostileTest, EveryAttackEndsInAResetOrAnAnswer) {
  for (const uint16_t queue : kQueues) {
    for (const Attack& attack : Attacks()) RunAttack(attack, Target(queue), kAllFeatures);
  }
}

TEST_F(VsockHostileTest, ResetsInEveryState) {
  for (const uint16_t queue : kQueues) ResetInEveryState(Target(queue), kAllFeatures);
}

TEST_F(VsockHostileTest, ServesPacketsWithAnyFeatures) {
  for (const uint16_t queue : kQueues) ExpectServiceWithAnyFeatures(Target(queue));
}

// A guest that says that it has received more than was sent gets no data for that.
TEST_F(VsockHostileTest, LiesAboutTheCreditGiveNone) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  VsockHeader lie = Header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 700, 1024);
  lie.forwarded = 1u << 31;
  Send(lie);
  Write(host, "data");
  while (const auto packet = Take()) EXPECT_TRUE(packet->data.empty());
  lie.forwarded = 0;
  Send(lie);
  EXPECT_EQ(Take()->data, BytesOf("data"));
}

// Requests without end, none of which is ever used.
TEST_F(VsockHostileTest, ResponsesThatNobodyAskedForAreReset) {
  const base::UniqueFd client = Client();
  Write(client, "CONNECT 5\n");
  const auto request = Take();
  ASSERT_TRUE(request.has_value());
  const uint32_t port = request->header.source_port.value();
  for (const unsigned operation : {VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_SHUTDOWN}) {
    Send(Header(operation, 5, port));
  }
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
  EXPECT_EQ(Read(client), "<end>");
}

TEST_F(VsockHostileTest, ReceiveBuffersThatCannotHoldAHeaderAreReturned) {
  Provoke();
  harness_.driver(kRx).Chain().Writable(sizeof(VsockHeader) - 1).Offer();
  harness_.driver(kRx).Chain().Readable(10).Writable(100).Offer();
  harness_.Publish(kRx);
  for (int i = 0; i < 2; ++i) {
    const auto used = harness_.driver(kRx).PopUsed();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->len, 0u);
  }
  EXPECT_EQ(Counter("dropped_malformed"), 2u);
}

// No event is ever sent, so nothing looks at the event queue.
TEST_F(VsockHostileTest, AttacksOnTheEventQueueReachNothing) {
  const uint16_t queue = VsockEventQueue::kIndex;
  for (const Attack& attack : Attacks()) {
    SCOPED_TRACE(attack.name);
    const HostileTarget target = Target(queue);
    Attacker attacker(target);
    attack.run(attacker);
    harness_.Kick(queue);
    Run();
    EXPECT_EQ(harness_.notifier().needs_reset, 0u);
    ASSERT_TRUE(harness_.StopQueue(*device_, queue));
    harness_.StartQueue(*device_, queue);
    Target(kTx).expect_good();
  }
}

// Every field of the header takes every kind of value, beside connections in every state.
TEST_F(VsockHostileTest, AnyFieldMayHoldAnyValue) {
  base::UnixListener listener = ListenWithoutWaiting(1024);
  std::vector<base::UniqueFd> hosts;
  std::mt19937 random(1);
  const auto pick = [&](std::initializer_list<uint64_t> values) {
    const uint64_t which = random() % (values.size() + 1);
    return which < values.size() ? values.begin()[which] : uint64_t{random()} << (random() % 33);
  };
  for (int i = 0; i < 20'000; ++i) {
    VsockHeader header;
    header.source_cid = pick({kGuestCid, kGuestCid, kGuestCid, kGuestCid, kGuestCid, 0, 2});
    header.destination_cid = pick({kHostCid, kHostCid, kHostCid, kHostCid, 0, 1, 3, kGuestCid});
    header.source_port = static_cast<uint32_t>(pick({700, 701, 702, 0xffff'ffff, 0}));
    header.destination_port = static_cast<uint32_t>(pick({1024, 1024, 1024, 1025, 1u << 30}));
    const auto length = static_cast<uint32_t>(random() % 4 == 0 ? random() % 5000 : 0);
    header.length = random() % 16 == 0 ? static_cast<uint32_t>(pick({0xffff'ffff})) : length;
    header.type = static_cast<uint16_t>(pick({1, 1, 1, 1, 1, 1, 1, 0, 2}));
    header.operation = static_cast<uint16_t>(pick({0, 1, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8}));
    header.flags = static_cast<uint32_t>(pick({0, 1, 2, 3}));
    header.buffer_bytes = static_cast<uint32_t>(pick({0, 1, 4096, 0xffff'ffff, 1u << 31}));
    header.forwarded = static_cast<uint32_t>(pick({0, 1, 4096, 0xffff'ffff, 1u << 31}));
    SendRaw(header, Bytes(length));
    // The device stops to take packets while answers wait.
    const bool is_waiting = harness_.driver(kTx).outstanding() > 0;
    while (Take().has_value() && (is_waiting || random() % 2 == 0)) {
    }
    while (harness_.driver(kTx).PopUsed().has_value()) {
    }
    base::UniqueFd host(accept(listener.fd(), nullptr, nullptr));
    if (host.valid()) hosts.push_back(std::move(host));
    if (!hosts.empty() && random() % 3 == 0) {
      const size_t which = random() % hosts.size();
      if (random() % 4 == 0) {
        hosts.erase(hosts.begin() + static_cast<ptrdiff_t>(which));
      } else if (random() % 2 == 0) {
        Read(hosts[which]);
      } else {
        send(hosts[which].get(), "hello", 5, MSG_NOSIGNAL | MSG_DONTWAIT);
      }
      Run();
    }
  }
  EXPECT_EQ(harness_.notifier().needs_reset, 0u);
  EXPECT_GT(Counter("begun"), 100u);
  EXPECT_LE(Counter("kept_bytes"), Counter("connections") * VsockConnection::kBufferBytes);
  while (Take().has_value()) {
  }
  Provoke();
  EXPECT_EQ(Take()->operation(), unsigned{VIRTIO_VSOCK_OP_RST});
}

TEST_F(VsockHostileTest, LiesAboutTheCreditSendNothingMore) {
  base::UnixListener listener = Listen(1024);
  const base::UniqueFd host = ConnectGuest(700, listener, 1024);
  while (Take().has_value()) {
  }
  Write(host, std::string(150'000, 'x'));
  uint64_t got = 0;
  while (const auto packet = Take()) got += packet->data.size();
  EXPECT_EQ(got, kCredit);
  // More passed on than was ever sent, or a buffer smaller than what is on its way.
  for (const auto& [buffer, forwarded] : {std::pair{kCredit, kCredit + 1},
                                          {kCredit, 0xffff'ffffu},
                                          {0u, 0u},
                                          {0u, kCredit},
                                          {kCredit - 1, 0u},
                                          {1u, 0x8000'0000u}}) {
    VsockHeader lie = Header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 700, 1024);
    lie.buffer_bytes = buffer;
    lie.forwarded = forwarded;
    Send(lie);
    while (const auto packet = Take()) EXPECT_EQ(packet->data.size(), 0u) << buffer;
  }
  VsockHeader truth = Header(VIRTIO_VSOCK_OP_CREDIT_UPDATE, 700, 1024);
  truth.forwarded = kCredit;
  Send(truth);
  while (const auto packet = Take()) got += packet->data.size();
  EXPECT_EQ(got, 150'000u);
}

// The guest begins and resets connections without end, and takes no answer.
TEST_F(VsockHostileTest, ConnectionsThatComeAndGoLeaveNothingBehind) {
  base::UnixListener listener = ListenWithoutWaiting(1024);
  size_t before = 0;
  for (int i = 0; i < 10'000; ++i) {
    Send(Header(VIRTIO_VSOCK_OP_REQUEST, 700, 1024));
    Send(Header(VIRTIO_VSOCK_OP_RST, 700, 1024));
    DropClients(listener);
    if (i == 100) before = AllocatedBytes();
  }
  EXPECT_EQ(Counter("begun"), 10'000u);
  EXPECT_EQ(Counter("connections"), 0u);
  EXPECT_LT(AllocatedBytes(), before + (32 << 10));
}

// Connections without data cost little, and there is an end to them.
class ManyConnectionsTest : public VsockHostileTest {
 protected:
  ManyConnectionsTest() : VsockHostileTest(64, 4096) {
    getrlimit(RLIMIT_NOFILE, &limit_);
    rlimit more = limit_;
    more.rlim_cur = std::min<rlim_t>(limit_.rlim_max, 8192);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &more), 0);
  }
  ~ManyConnectionsTest() override { setrlimit(RLIMIT_NOFILE, &limit_); }

 private:
  rlimit limit_ = {};
};

TEST_F(ManyConnectionsTest, AThousandIdleConnectionsNeedAtMostAMebibyte) {
  base::UnixListener listener = Listen(1024);
  std::vector<base::UniqueFd> hosts;
  hosts.reserve(1000);
  const size_t before = AllocatedBytes();
  for (uint32_t i = 0; i < 1000; ++i) hosts.push_back(ConnectGuest(1000 + i, listener, 1024));
  EXPECT_EQ(Counter("connections"), 1000u);
  const size_t used = AllocatedBytes() - before;
  RecordProperty("bytes", static_cast<int>(used));
  EXPECT_LT(used, size_t{1} << 20);
  Write(hosts[500], "alive");
  EXPECT_EQ(Take()->data, BytesOf("alive"));
}

TEST_F(ManyConnectionsTest, AResetEndsFiveHundredConnectionsInAnyState) {
  base::UnixListener listener = Listen(1024);
  std::vector<base::UniqueFd> hosts;
  for (uint32_t i = 0; i < 500; ++i) {
    hosts.push_back(ConnectGuest(1000 + i, listener, 1024));
  }
  for (uint32_t i = 0; i < 500; ++i) {
    VsockHeader end = Header(VIRTIO_VSOCK_OP_SHUTDOWN, 1000 + i, 1024);
    end.flags = 1 + i % 2;
    if (i % 3 == 0) Send(end);
    if (i % 5 == 0) send(hosts[i].get(), "data", 4, MSG_NOSIGNAL);
    if (i % 7 == 0) shutdown(hosts[i].get(), SHUT_WR);
  }
  ASSERT_TRUE(harness_.Stop(*device_));
  EXPECT_EQ(Counter("connections"), 0u);
  for (const base::UniqueFd& host : hosts) EXPECT_EQ(Read(host), "<end>");
  harness_.Start(*device_, kAllFeatures);
  EXPECT_TRUE(ConnectGuest(1000, listener, 1024).valid());
}

// Programs of the host that read nothing make a guest's data wait, up to a limit for all of them.
TEST_F(ManyConnectionsTest, WaitingDataAreBoundedForAllConnectionsTogether) {
  base::UnixListener listener = Listen(1024);
  std::vector<base::UniqueFd> hosts;
  const Bytes part(60'000);
  const uint64_t nearly_full = VsockMux::kMaxKeptBytes - 2 * part.size();
  for (uint32_t i = 0; i < 400 && Counter("kept_bytes") < nearly_full; ++i) {
    hosts.push_back(ConnectGuest(1000 + i, listener, 1024));
    // Within the credit of the connection.
    const uint64_t most = std::min(nearly_full, Counter("kept_bytes") + 180'000);
    for (int j = 0; j < 12 && Counter("kept_bytes") < most; ++j) {
      Send(Header(VIRTIO_VSOCK_OP_RW, 1000 + i, 1024), part);
    }
    while (Take().has_value()) {
    }
  }
  EXPECT_GE(Counter("kept_bytes"), nearly_full);
  EXPECT_EQ(Counter("resets"), 0u);
  const base::UniqueFd last = ConnectGuest(900, listener, 1024);
  for (int i = 0; i < 6; ++i) Send(Header(VIRTIO_VSOCK_OP_RW, 900, 1024), part);
  EXPECT_LE(Counter("kept_bytes"), VsockMux::kMaxKeptBytes);
  bool reset = false;
  while (const auto packet = Take()) reset |= packet->operation() == VIRTIO_VSOCK_OP_RST;
  EXPECT_TRUE(reset);
}

}  // namespace
}  // namespace virtio
