// A character backend on a real event loop, and a client that takes its input.
#ifndef DEVICES_CHARACTER_TESTING_CHARACTER_FIXTURES_H_
#define DEVICES_CHARACTER_TESTING_CHARACTER_FIXTURES_H_

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "base/uring_event_loop.h"
#include "devices/character/create_backend.h"
#include "devices/character/output_ring.h"
#include "gtest/gtest.h"

namespace devices {

inline constexpr size_t kFloodBytes = 10 << 20;

inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// Takes up to `room` bytes of input.
class Client : public CharacterClient {
 public:
  size_t OnInput(std::span<const uint8_t> bytes) override {
    base::MutexLock lock(mutex_);
    const size_t taken = std::min(bytes.size(), room_);
    room_ -= taken;
    input_.append(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
    return taken;
  }
  void OnResize(uint16_t columns, uint16_t rows) override {
    size_ = uint32_t{columns} << 16 | rows;
  }
  void SetRoom(size_t room) {
    base::MutexLock lock(mutex_);
    room_ = room;
  }
  std::string input() {
    base::MutexLock lock(mutex_);
    return input_;
  }
  uint32_t size() const { return size_; }

 private:
  base::Mutex mutex_;
  size_t room_ ABSL_GUARDED_BY(mutex_) = ~size_t{0};
  std::string input_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint32_t> size_ = 0;
};

class CharacterBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/character_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    auto loop = base::UringEventLoop::Create({.fixed_files = false});
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = std::move(*loop);
  }
  void TearDown() override {
    StopLoop();
    backend_.reset();
    loop_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Start(CharacterBackendOptions options) {
    options.name = "console";
    auto backend = CreateCharacterBackend(std::move(options), *loop_);
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = std::move(*backend);
    backend_->SetClient(&client_);
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void StopLoop() {
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
  }
  std::string Error(CharacterBackendOptions options) {
    options.name = "console";
    return std::string(CreateCharacterBackend(std::move(options), *loop_).status().message());
  }
  void Print(const std::string& text) {
    backend_->Write(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  // Prints kFloodBytes in small pieces, as a guest does. The test hangs here if printing waits for
  // a sink that takes nothing.
  void Flood() {
    const std::string line(61, 'f');
    for (size_t bytes = 0; bytes < kFloodBytes; bytes += line.size()) Print(line);
  }
  // Call it after Flood() into a sink that took nothing beyond its own buffers. Expects that most
  // output was dropped, and that a reader now finds the kept output, the mark and the end.
  void ExpectDropsThenMark(int fd) {
    EXPECT_GT(backend_->dropped_bytes(), kFloodBytes / 2);
    EXPECT_FALSE(backend_->drained());
    Print("THE END");
    const std::string text = ReadUntil(fd, "THE END");
    EXPECT_NE(text.find("bytes dropped]\r\n"), std::string::npos) << text.size();
    EXPECT_LT(text.size(), kFloodBytes / 2);
    EXPECT_GT(text.size(), OutputRing::kCapacityBytes / 2);
    EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  }
  static std::string ReadUntil(int fd, const std::string& end) {
    std::string text;
    while (text.size() < end.size() || text.compare(text.size() - end.size(), end.size(), end)) {
      pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&poll_fd, 1, 60'000) != 1) break;
      char buffer[4096];
      const ssize_t count = read(fd, buffer, sizeof(buffer));
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
    }
    return text;
  }
  static std::string ReadFile(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Ends the backend as the end of the VM does, while no program reads.
  void FinishUnread() {
    Flood();
    Print("THE END");
    EXPECT_FALSE(backend_->drained());
    backend_->FinishOutput();
    EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
    StopLoop();
    backend_.reset();
  }
  // Call it after FinishUnread(). Expects that a reader finds the oldest output, the mark and the
  // guest's last output.
  static void ExpectMarkAndLastOutput(int fd) {
    const std::string text = ReadUntil(fd, "no such text");
    const size_t mark = text.find("bytes dropped]\r\n");
    ASSERT_NE(mark, std::string::npos) << text.size();
    EXPECT_GE(text.size() - mark, OutputRing::kCapacityBytes);
    EXPECT_EQ(text.substr(text.size() - 7), "THE END");
  }

  std::string directory_;
  Client client_;
  std::unique_ptr<base::UringEventLoop> loop_;
  std::unique_ptr<CharacterBackend> backend_;
  std::thread thread_;
};

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
  base::UniqueFd read_end, write_end;
};

inline void Send(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t count = write(fd, text.data() + sent, text.size() - sent);
    ASSERT_GT(count, 0) << strerror(errno);
    sent += static_cast<size_t>(count);
  }
}

}  // namespace devices

#endif  // DEVICES_CHARACTER_TESTING_CHARACTER_FIXTURES_H_
