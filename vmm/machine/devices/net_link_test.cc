// A device whose far end, a listening Unix socket, goes away and comes back.

#include "vmm/machine/devices/net_link.h"

#include <linux/virtio_net.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/guest_memory.h"
#include "base/loop_thread.h"
#include "base/unix_listener.h"
#include "gtest/gtest.h"
#include "virtio/net/net_wire.h"

namespace vmm {
namespace {

class NetLinkTest : public testing::Test {
 protected:
  NetLinkTest() {
    std::string pattern = testing::TempDir() + "vmm-link-XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/passt";
    memory_ = base::GuestMemory::Create({}, {{0, 1 << 20, nullptr}}).value();
    thread_ = base::LoopThread::Create("io0", {}).value();
    Listen();
    auto port = net::StreamPort::Create().value();
    port_ = port.get();
    port_->Connect(base::ConnectUnix(path_, std::chrono::seconds(1)).value());
    std::vector<virtio::NetDevice::Pair> pairs;
    pairs.push_back({std::move(port), thread_->loop()});
    device_ = virtio::NetDevice::Create({.id = "_net0"}, std::move(pairs), *memory_).value();
    link_ = NetLink::Create(*device_, *port_, "passt", [this] {
              return base::ConnectUnix(path_, std::chrono::seconds(1));
            }).value();
    EXPECT_TRUE(thread_->Start().ok());
    peer_.reset(accept(listener_->fd(), nullptr, nullptr));
  }
  ~NetLinkTest() override {
    link_.reset();
    thread_->Stop();
    device_.reset();
    listener_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Listen() { listener_.emplace(base::UnixListener::Listen(path_).value()); }
  void GoAway() {
    listener_.reset();
    peer_.reset();
    OnLoop([this] {  // as the receive queue does when the port is readable
      char byte;
      const iovec to = {&byte, 1};
      EXPECT_EQ(port_->Receive({&to, 1}), -EAGAIN);
    });
  }
  void OnLoop(std::function<void()> function) {
    std::promise<void> done;
    thread_->loop().Post([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }
  unsigned Status() {
    base::Le16 status;
    device_->ReadConfig(offsetof(virtio::NetConfigSpace, status), base::WritableBytesOf(status));
    return status.value();
  }

  std::string folder_;
  std::string path_;
  std::unique_ptr<base::GuestMemory> memory_;
  std::unique_ptr<base::LoopThread> thread_;
  std::optional<base::UnixListener> listener_;
  base::UniqueFd peer_;
  net::StreamPort* port_;
  std::unique_ptr<virtio::NetDevice> device_;
  std::unique_ptr<NetLink> link_;
};

TEST_F(NetLinkTest, GuestSeesTheFarEndGoAndComeBack) {
  OnLoop([this] { EXPECT_EQ(Status(), unsigned{VIRTIO_NET_S_LINK_UP}); });
  for (int round = 0; round < 2; ++round) {
    GoAway();
    OnLoop([this] {
      EXPECT_EQ(Status() & VIRTIO_NET_S_LINK_UP, 0u);
      EXPECT_FALSE(port_->connected());
    });
    Listen();
    peer_.reset(accept(listener_->fd(), nullptr, nullptr));
    ASSERT_TRUE(peer_.valid());
    // The connection was made by the other thread, which posts it to the loop.
    for (bool connected = false; !connected; std::this_thread::yield()) {
      OnLoop([&] { connected = port_->connected(); });
    }
    OnLoop([this] { EXPECT_EQ(Status(), unsigned{VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE}); });
  }
}

TEST_F(NetLinkTest, EndsWhileTheFarEndIsAway) { GoAway(); }

}  // namespace
}  // namespace vmm
