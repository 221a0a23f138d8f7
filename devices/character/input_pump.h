// Carries what the host types to a guest, no faster than the guest takes it.
#ifndef DEVICES_CHARACTER_INPUT_PUMP_H_
#define DEVICES_CHARACTER_INPUT_PUMP_H_

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "devices/character/character_backend.h"

namespace devices {

// Make and destroy it while the loop does not run. Call all other functions on the loop (or before
// it runs) unless their comments say otherwise.
class InputPump {
 public:
  // Changes the first `count` of `bytes` in place before the guest gets them, and returns how many
  // are left. That may be one more than `count`: `bytes` has room for it.
  using Filter = absl::AnyInvocable<size_t(std::span<uint8_t> bytes, size_t count)>;

  explicit InputPump(base::EventLoop& loop) : loop_(loop) {}
  ~InputPump();
  InputPump(const InputPump&) = delete;
  InputPump& operator=(const InputPump&) = delete;

  // Sets a filter. With a filter, the pump continues to read while the guest takes nothing, because
  // a filter that looks for an escape sequence has to see every key. It keeps up to
  // kMaxPendingBytes and drops what exceeds them.
  void set_filter(Filter filter) { filter_ = std::move(filter); }
  // Sets a function to call when the file has ended or failed and will not be read again.
  void set_on_end(absl::AnyInvocable<void()> on_end) { on_end_ = std::move(on_end); }
  void set_on_idle(absl::AnyInvocable<void()> on_idle) { on_idle_ = std::move(on_idle); }

  void SetClient(CharacterClient* client);
  // Starts reading `file`. No file may be attached.
  void Attach(base::LoopFile file);
  // Stops reading; bytes that the guest has not taken yet stay. The file may be closed once idle()
  // is true. If that is not at once, `on_idle` is called when it is.
  void Detach();
  bool idle() const { return !poll_.pending() && !read_.pending(); }

  // Any thread.
  void ResumeInput();

 private:
  static constexpr size_t kReadBytes = 1024;
  static constexpr size_t kMaxPendingBytes = 64 * 1024;
  using Buffer = std::array<uint8_t, kReadBytes + 1>;

  struct PollOperation final : base::Operation {
    explicit PollOperation(InputPump& owner) : pump(owner) {}
    void OnComplete(int32_t result) override { pump.OnReadable(result); }
    InputPump& pump;
  };
  struct ReadOperation final : base::Operation {
    explicit ReadOperation(InputPump& owner) : pump(owner) {}
    void OnComplete(int32_t result) override { pump.OnRead(result); }
    InputPump& pump;
  };

  void WaitForInput();
  void OnReadable(int32_t result);
  void OnRead(int32_t result);
  void Deliver();
  void PostDeliver();
  void End();
  size_t pending_bytes() const { return pending_.size() - pending_begin_; }

  base::EventLoop& loop_;
  Filter filter_;
  absl::AnyInvocable<void()> on_end_;
  absl::AnyInvocable<void()> on_idle_;
  CharacterClient* client_ = nullptr;
  std::optional<base::LoopFile> file_;
  PollOperation poll_{*this};
  ReadOperation read_{*this};
  // LIFETIME: the kernel writes here, through `iov_`, while `read_` is pending.
  std::unique_ptr<Buffer> buffer_ = std::make_unique<Buffer>();
  iovec iov_ = {};
  std::vector<uint8_t> pending_;
  size_t pending_begin_ = 0;
  std::atomic<bool> deliver_posted_ = false;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_INPUT_PUMP_H_
