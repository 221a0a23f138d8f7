#include "net/stream_port.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace net {
namespace {

using Bytes = std::vector<uint8_t>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Bytes Frame(size_t bytes, uint8_t seed = 0) {
  Bytes frame(bytes);
  for (size_t i = 0; i < bytes; ++i) frame[i] = static_cast<uint8_t>(i * 13 + i / 256 + seed);
  return frame;
}

Bytes OnTheWire(const Bytes& frame) {
  const auto length = static_cast<uint32_t>(frame.size());
  Bytes wire = {static_cast<uint8_t>(length >> 24), static_cast<uint8_t>(length >> 16),
                static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)};
  wire.insert(wire.end(), frame.begin(), frame.end());
  return wire;
}

// A port whose far end is the test.
class StreamPortTest : public testing::Test {
 protected:
  StreamPortTest() : port_(StreamPort::Create().value()) {
    port_->SetOnDown([this](const std::string& reason) { reasons_.push_back(reason); });
    Connect();
  }

  void Connect(int send_buffer_bytes = 0) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    peer_.reset(fds[1]);
    if (send_buffer_bytes > 0) {
      ASSERT_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof(int)), 0);
    }
    port_->Connect(base::UniqueFd(fds[0]));
  }
  void Arrive(const Bytes& bytes) {
    ASSERT_EQ(send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), ssize_t(bytes.size()));
  }
  // Receives into pieces of `piece` bytes. Returns what came behind the header, or sets result_.
  Bytes Receive(size_t piece = 1 << 17) {
    Bytes room(kVnetHeaderBytes + kMaxFrameBytes, 0xee);
    std::vector<iovec> pieces;
    for (size_t at = 0; at < room.size(); at += piece) {
      pieces.push_back({room.data() + at, std::min(piece, room.size() - at)});
    }
    result_ = port_->Receive(pieces);
    if (result_ < 0) return {};
    EXPECT_EQ(Bytes(room.begin(), room.begin() + kVnetHeaderBytes), Bytes(kVnetHeaderBytes));
    return Bytes(room.begin() + kVnetHeaderBytes, room.begin() + result_);
  }
  // Receives until there is nothing more.
  std::vector<Bytes> ReceiveAll() {
    std::vector<Bytes> frames;
    for (int attempts = 0; attempts < 1000; ++attempts) {
      Bytes frame = Receive();
      if (result_ >= 0) {
        frames.push_back(std::move(frame));
      } else if (!IsReady(port_->fd(), POLLIN)) {
        break;
      }
    }
    return frames;
  }
  int32_t Send(const Bytes& frame, size_t piece = 1 << 17, Bytes header = Bytes(kVnetHeaderBytes)) {
    Bytes bytes = frame;
    std::vector<iovec> pieces = {{header.data(), header.size()}};
    for (size_t at = 0; at < bytes.size(); at += piece) {
      pieces.push_back({bytes.data() + at, std::min(piece, bytes.size() - at)});
    }
    return port_->Send(pieces);
  }
  // Returns what the peer can read at the moment, at most `limit` bytes.
  Bytes Read(size_t limit = 1 << 24) {
    Bytes all;
    Bytes part(1 << 16);
    while (all.size() < limit) {
      const ssize_t n =
          recv(peer_.get(), part.data(), std::min(part.size(), limit - all.size()), MSG_DONTWAIT);
      if (n <= 0) break;
      all.insert(all.end(), part.begin(), part.begin() + n);
    }
    return all;
  }
  static bool IsReady(int fd, uint32_t events) {
    pollfd ready = {.fd = fd, .events = static_cast<int16_t>(events), .revents = 0};
    return poll(&ready, 1, 0) == 1;
  }
  bool CanSend() { return IsReady(port_->send_readiness().fd, port_->send_readiness().events); }

  std::unique_ptr<StreamPort> port_;
  base::UniqueFd peer_;
  std::vector<std::string> reasons_;
  int32_t result_ = 0;
};

TEST_F(StreamPortTest, SendsTheLengthAndTheFrameWithoutItsHeader) {
  EXPECT_EQ(Send(Frame(100)), 0);
  EXPECT_EQ(Read(), OnTheWire(Frame(100)));
  EXPECT_EQ(Send(Frame(kMaxFrameBytes), 1000), 0);
  EXPECT_EQ(Read(), OnTheWire(Frame(kMaxFrameBytes)));
}

TEST_F(StreamPortTest, RefusesFramesThatAreNone) {
  EXPECT_EQ(Send(Frame(13)), -EMSGSIZE);
  EXPECT_EQ(Send(Frame(kMaxFrameBytes + 1)), -EMSGSIZE);
  EXPECT_EQ(Send({}), -EINVAL);
  EXPECT_EQ(Send(Frame(100), 1000, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), -EINVAL);
  EXPECT_EQ(Send(Frame(100), 1000, {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), -EINVAL);
  EXPECT_EQ(Send(Frame(100), 1000, Bytes(10)), -EINVAL);
  EXPECT_THAT(Read(), IsEmpty());
  EXPECT_TRUE(port_->connected());
}

TEST_F(StreamPortTest, FrameThatTheKernelCannotReadIsLostAlone) {
  Bytes header(kVnetHeaderBytes);
  void* hole = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(hole, MAP_FAILED);
  const std::vector<iovec> pieces = {{header.data(), header.size()}, {hole, 100}};
  EXPECT_EQ(port_->Send(pieces), -EFAULT);
  munmap(hole, 4096);
  EXPECT_EQ(Send(Frame(100)), 0);
  EXPECT_EQ(Read(), OnTheWire(Frame(100)));
}

TEST_F(StreamPortTest, WithoutRoomTheFrameIsRefusedUntilThereIsRoom) {
  Bytes expected;
  EXPECT_TRUE(CanSend());
  uint8_t seed = 0;
  while (Send(Frame(1000, seed)) == 0) {
    const Bytes wire = OnTheWire(Frame(1000, seed++));
    expected.insert(expected.end(), wire.begin(), wire.end());
  }
  EXPECT_EQ(Send(Frame(1000)), -EAGAIN);
  EXPECT_FALSE(CanSend());
  EXPECT_EQ(Read(), expected);
  EXPECT_TRUE(CanSend());
  EXPECT_EQ(Send(Frame(1000)), 0);
}

// The kernel takes a long frame in parts if its buffer is small.
TEST_F(StreamPortTest, FrameOfWhichAPartWasSentIsFinishedBeforeTheNext) {
  Connect(/*send_buffer_bytes=*/20000);
  const Bytes first = OnTheWire(Frame(60000, 1));
  ASSERT_EQ(Send(Frame(60000, 1), 777), 0);
  Bytes got = Read();
  ASSERT_LT(got.size(), first.size()) << "the kernel took all of it";
  // The receive side's descriptor reports that there is room.
  EXPECT_TRUE(IsReady(port_->fd(), POLLIN));
  for (int i = 0; got.size() < first.size() && i < 100; ++i) {
    Receive();
    EXPECT_EQ(result_, -EAGAIN);
    const Bytes more = Read();
    got.insert(got.end(), more.begin(), more.end());
  }
  EXPECT_EQ(got, first);
  EXPECT_FALSE(IsReady(port_->fd(), POLLIN));
}

TEST_F(StreamPortTest, EveryByteOfManyFramesArrivesThroughASmallBuffer) {
  Connect(/*send_buffer_bytes=*/20000);
  std::mt19937 random(7);
  Bytes expected;
  Bytes got;
  for (int i = 0; i < 300; ++i) {
    const Bytes frame = Frame(14 + random() % (kMaxFrameBytes - 14), static_cast<uint8_t>(i));
    int32_t result;
    while ((result = Send(frame, 1 + random() % 5000 + 100)) == -EAGAIN) {
      const Bytes more = Read(1 + random() % 30000);
      got.insert(got.end(), more.begin(), more.end());
    }
    ASSERT_EQ(result, 0);
    const Bytes wire = OnTheWire(frame);
    expected.insert(expected.end(), wire.begin(), wire.end());
  }
  while (got.size() < expected.size()) {
    Receive();
    const Bytes more = Read();
    got.insert(got.end(), more.begin(), more.end());
  }
  EXPECT_TRUE(got == expected);
  EXPECT_THAT(reasons_, IsEmpty());
}

TEST_F(StreamPortTest, ReceivesManyFramesThatArrivedTogether) {
  Bytes wire;
  std::vector<Bytes> frames;
  for (size_t bytes : {14, 60, 1514, 15, 9000}) {
    frames.push_back(Frame(bytes));
    const Bytes one = OnTheWire(frames.back());
    wire.insert(wire.end(), one.begin(), one.end());
  }
  Arrive(wire);
  for (const Bytes& frame : frames) EXPECT_EQ(Receive(), frame);
  Receive();
  EXPECT_EQ(result_, -EAGAIN);
}

TEST_F(StreamPortTest, ReceivesTheLargestFrameInPiecesOfAnySize) {
  for (const size_t piece : {1, 5, 11, 12, 13, 1526, 70000}) {
    Arrive(OnTheWire(Frame(kMaxFrameBytes)));
    Bytes frame;
    do {
      frame = Receive(piece);
    } while (result_ == -EAGAIN && IsReady(port_->fd(), POLLIN));
    EXPECT_TRUE(frame == Frame(kMaxFrameBytes)) << piece;
  }
}

TEST_F(StreamPortTest, WhatDoesNotFitIsLostWithItsFrameOnly) {
  Arrive(OnTheWire(Frame(100)));
  Arrive(OnTheWire(Frame(50)));
  Bytes room(40);
  const iovec piece = {room.data(), room.size()};
  EXPECT_EQ(port_->Receive({&piece, 1}), 40);
  Bytes expected = Frame(100);
  expected.resize(28);
  EXPECT_EQ(Bytes(room.begin() + 12, room.end()), expected);
  EXPECT_EQ(Receive(), Frame(50));
}

TEST_F(StreamPortTest, ReceivesFramesHoweverTheStreamIsSplit) {
  Bytes wire;
  for (size_t bytes : {14, 20, 33}) {
    const Bytes one = OnTheWire(Frame(bytes));
    wire.insert(wire.end(), one.begin(), one.end());
  }
  const auto at = [&](size_t i) { return wire.begin() + static_cast<ptrdiff_t>(i); };
  for (size_t i = 0; i <= wire.size(); ++i) {
    for (size_t k = i; k <= wire.size(); ++k) {
      std::vector<Bytes> frames;
      for (const Bytes& part :
           {Bytes(at(0), at(i)), Bytes(at(i), at(k)), Bytes(at(k), wire.end())}) {
        Arrive(part);
        for (Bytes& frame : ReceiveAll()) frames.push_back(std::move(frame));
      }
      ASSERT_THAT(frames, ElementsAre(Frame(14), Frame(20), Frame(33))) << i << " " << k;
    }
  }
}

TEST_F(StreamPortTest, LengthsThatNoFrameHasEndTheConnection) {
  for (const uint32_t length : {0u, 1u, 13u, uint32_t{kMaxFrameBytes} + 1, 0x7fffffffu, ~0u}) {
    reasons_.clear();
    Connect();
    Arrive(OnTheWire(Frame(20)));
    Arrive({static_cast<uint8_t>(length >> 24), static_cast<uint8_t>(length >> 16),
            static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)});
    EXPECT_EQ(Receive(), Frame(20)) << "what came before is good";
    Receive();
    EXPECT_EQ(result_, -EAGAIN);
    EXPECT_FALSE(port_->connected());
    EXPECT_THAT(reasons_,
                ElementsAre("it announced a frame of " + std::to_string(length) + " bytes"));
    EXPECT_EQ(Send(Frame(20)), -ENOTCONN);
    reasons_.clear();
  }
}

TEST_F(StreamPortTest, EndOfTheStreamEndsTheConnectionAfterWhatCameBefore) {
  Arrive(OnTheWire(Frame(20)));
  Arrive({0, 0, 0, 30, 1, 2, 3});  // and the rest of the frame never comes
  peer_.reset();
  EXPECT_THAT(ReceiveAll(), ElementsAre(Frame(20)));
  EXPECT_THAT(reasons_, ElementsAre("it closed the connection"));
  EXPECT_FALSE(IsReady(port_->fd(), POLLIN)) << "the caller would spin";
}

TEST_F(StreamPortTest, SendNoticesThatThePeerIsGone) {
  peer_.reset();
  EXPECT_EQ(Send(Frame(20)), -EPIPE);
  EXPECT_EQ(Send(Frame(20)), -ENOTCONN);
  EXPECT_THAT(reasons_, ElementsAre(HasSubstr("Broken pipe")));
}

TEST_F(StreamPortTest, FrameThatWaitsForRoomIsToldOfTheEnd) {
  while (Send(Frame(1000)) == 0) {
  }
  EXPECT_FALSE(CanSend());
  peer_.reset();
  ReceiveAll();
  EXPECT_FALSE(port_->connected());
  EXPECT_TRUE(CanSend());
  EXPECT_EQ(Send(Frame(1000)), -ENOTCONN);
}

TEST_F(StreamPortTest, NextConnectionBeginsAfresh) {
  const int receive_fd = port_->fd();
  const int send_fd = port_->send_readiness().fd;
  Arrive({0, 0, 0, 30, 1, 2, 3});
  peer_.reset();
  ReceiveAll();
  Connect();
  EXPECT_TRUE(port_->connected());
  EXPECT_EQ(port_->fd(), receive_fd);
  EXPECT_EQ(port_->send_readiness().fd, send_fd);
  EXPECT_FALSE(IsReady(port_->fd(), POLLIN));
  EXPECT_TRUE(CanSend());
  Arrive(OnTheWire(Frame(20)));
  EXPECT_TRUE(IsReady(port_->fd(), POLLIN));
  EXPECT_EQ(Receive(), Frame(20));
  EXPECT_EQ(Send(Frame(21)), 0);
  EXPECT_EQ(Read(), OnTheWire(Frame(21)));
  EXPECT_THAT(reasons_, ElementsAre("it closed the connection"));
}

TEST_F(StreamPortTest, NextConnectionDropsTheRestOfAFrame) {
  Connect(/*send_buffer_bytes=*/20000);
  ASSERT_EQ(Send(Frame(60000)), 0);
  peer_.reset();
  ReceiveAll();
  Connect();
  EXPECT_EQ(Send(Frame(21)), 0);
  EXPECT_EQ(Read(), OnTheWire(Frame(21)));
}

TEST_F(StreamPortTest, OffersNoOffload) {
  EXPECT_EQ(port_->SetOffloads(0), 0);
  EXPECT_EQ(port_->SetOffloads(1), -EOPNOTSUPP);
}

// An IPv4 frame from the guest, whose transport header is at the end of its first 42 bytes.
Bytes UdpFrame(uint8_t from, uint16_t from_port, uint8_t to, uint16_t to_port, size_t bytes) {
  Bytes frame = Frame(bytes);
  const Bytes headers = {8,
                         0,
                         0x45,
                         0,
                         0,
                         200,
                         0,
                         0,
                         0,
                         0,
                         64,
                         17,
                         0,
                         0,
                         10,
                         0,
                         0,
                         from,
                         10,
                         0,
                         0,
                         to,
                         static_cast<uint8_t>(from_port >> 8),
                         static_cast<uint8_t>(from_port),
                         static_cast<uint8_t>(to_port >> 8),
                         static_cast<uint8_t>(to_port)};
  std::copy(headers.begin(), headers.end(), frame.begin() + 12);
  return frame;
}

TEST_F(StreamPortTest, FilterLetsOnlyAnswersOut) {
  port_->SetFilter(GuestFilter({5000}));
  const Bytes answer = UdpFrame(2, 5000, 1, 777, 1000);
  EXPECT_EQ(Send(answer), -EPERM);
  EXPECT_THAT(Read(), IsEmpty());
  Arrive(OnTheWire(UdpFrame(1, 777, 2, 5000, 100)));
  Receive();
  // However the frame is laid out, what leaves is what the filter saw, and all of the frame.
  for (const size_t piece : {1, 7, 42, 93, 94, 95, 5000}) {
    EXPECT_EQ(Send(answer, piece), 0) << piece;
    EXPECT_EQ(Read(), OnTheWire(answer)) << piece;
  }
  EXPECT_EQ(Send(UdpFrame(2, 5000, 1, 53, 1000)), -EPERM);
  EXPECT_EQ(Send(Frame(14)), -EPERM);
}

TEST_F(StreamPortTest, FrameWhoseBeginningTheFilterCannotSeeIsLost) {
  port_->SetFilter(GuestFilter({}));
  Bytes header(kVnetHeaderBytes);
  void* hole = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(hole, MAP_FAILED);
  const std::vector<iovec> pieces = {{header.data(), header.size()}, {hole, 100}};
  EXPECT_EQ(port_->Send(pieces), -EFAULT);
  munmap(hole, 4096);
}

// A peer that sends anything: the port hands out good frames or ends the connection, and each call
// ends.
TEST_F(StreamPortTest, AnyStreamIsFramesOrAnEnd) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    Connect();
    reasons_.clear();
    std::deque<Bytes> expected;
    for (int i = 0; i < 20 && port_->connected(); ++i) {
      Bytes bytes(random() % 300);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      if (random() % 8 != 0) {
        bytes.resize(std::max(bytes.size(), kMinFrameBytes));
        expected.push_back(bytes);
        bytes = OnTheWire(bytes);
      } else if (random() % 4 != 0) {
        bytes.clear();
      }
      const bool garbage =
          !bytes.empty() && (expected.empty() || bytes != OnTheWire(expected.back()));
      for (size_t at = 0; at < bytes.size();) {
        const size_t part = std::min<size_t>(1 + random() % 200, bytes.size() - at);
        const auto from = bytes.begin() + static_cast<ptrdiff_t>(at);
        Arrive(Bytes(from, from + static_cast<ptrdiff_t>(part)));
        at += part;
        if (random() % 2 == 0 && !garbage) {
          for (const Bytes& frame : ReceiveAll()) {
            ASSERT_FALSE(expected.empty());
            ASSERT_EQ(frame, expected.front());
            expected.pop_front();
          }
        }
      }
      if (garbage) break;
    }
    for (const Bytes& frame : ReceiveAll()) {
      if (expected.empty()) break;  // garbage that looked like a frame
      ASSERT_EQ(frame, expected.front());
      expected.pop_front();
    }
    EXPECT_THAT(expected, IsEmpty());
    EXPECT_EQ(port_->connected(), reasons_.empty());
    peer_.reset();
    ReceiveAll();
    EXPECT_FALSE(port_->connected());
  }
}

}  // namespace
}  // namespace net
