// Carries what a guest prints to a file, terminal, pipe or socket, without ever waiting for it.
#ifndef DEVICES_CHARACTER_OUTPUT_PUMP_H_
#define DEVICES_CHARACTER_OUTPUT_PUMP_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "devices/character/output_ring.h"

namespace devices {

// The destination of output.
struct OutputSink {
  enum class Kind {
    // a disk file, written at its position or end: a write may take long; errors may pass
    kRegular,
    kStream,  // a terminal, pipe or pty: an error means that the other end is gone
    kSocket,  // like kStream, but written by sendmsg
  };
  base::LoopFile file;
  Kind kind = Kind::kStream;
  // kRegular: how many bytes may be written to the file, at least 4096; 0 means any number. Other
  // kinds need no limit, because they pass the bytes on to a reader and store nothing.
  uint64_t limit_bytes = 0;
  // How many bytes can be written without blocking after the file polled writable. 0 if the file
  // cannot block: it is O_NONBLOCK or a socket.
  size_t blocking_limit_bytes = 0;
};

// Make and destroy it while the loop does not run. If a write is in flight at destruction, its
// buffer stays allocated for ever.
class OutputPump {
 public:
  // `name` is the device's name, for logs.
  OutputPump(base::EventLoop& loop, std::string name);
  ~OutputPump();
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;

  // Starts writing to `sink`. No sink may be attached. Loop thread or before it runs.
  void Attach(const OutputSink& sink);
  // Gives the sink up; output collects in the ring. The sink's file may be closed once idle() is
  // true. If that is not at once, `on_idle` is called when it is. Loop thread.
  void Detach();
  bool idle() const { return !write_.pending() && !poll_.pending() && !gather_.pending(); }
  // Sets a function to call on the loop when the other end of a stream or socket has gone. If it is
  // not set, no other end can follow, and all output is dropped from then on.
  void set_on_gone(absl::AnyInvocable<void()> on_gone) { on_gone_ = std::move(on_gone); }
  void set_on_idle(absl::AnyInvocable<void()> on_idle) { on_idle_ = std::move(on_idle); }
  // Sets a function to call on the loop when the sink has reached its limit. If it is not set, all
  // output is dropped from then on. During the call no operation on the sink's file is pending, and
  // none starts before Replace or GiveUp.
  void set_on_full(absl::AnyInvocable<void()> on_full) { on_full_ = std::move(on_full); }
  // Both: on the loop thread, after on_full. Replace continues with another sink, or with the same
  // one made empty, and counts `dropped_bytes` that had been written as lost. GiveUp drops all
  // output from now on and logs `why`.
  void Replace(const OutputSink& sink, uint64_t dropped_bytes);
  void GiveUp(const std::string& why);
  // Does what CharacterBackend::FinishOutput says; `fd` is the sink's file. Loop thread.
  void FinishOutput(int fd);
  // Returns the number of bytes written to the sink since it was attached. Loop thread.
  uint64_t sink_bytes() const { return sink_bytes_; }

  // These do what CharacterBackend's functions of the same names say. Without a sink there is
  // nothing to wait for, so drained() is true.
  void Write(std::span<const uint8_t> bytes);
  bool drained() const;
  uint64_t written_bytes() const;
  uint64_t dropped_bytes() const;

 private:
  static constexpr size_t kStagedBytes = 4096;
  using StagedBytes = std::array<uint8_t, kStagedBytes>;

  struct WriteOperation final : base::Operation {
    explicit WriteOperation(OutputPump& owner) : pump(owner) {}
    void OnComplete(int32_t result) override { pump.OnWritten(result); }
    OutputPump& pump;
  };
  struct PollOperation final : base::Operation {
    explicit PollOperation(OutputPump& owner) : pump(owner) {}
    void OnComplete(int32_t result) override { pump.OnWritable(result); }
    OutputPump& pump;
  };

  struct GatherOperation final : base::Operation {
    explicit GatherOperation(OutputPump& owner) : pump(owner) {}
    void OnComplete(int32_t /*result*/) override { pump.OnGathered(); }
    OutputPump& pump;
  };

  void Pump();
  bool Stage();
  void PollWritable();
  void StartWrite();
  void OnWritable(int32_t result);
  void OnWritten(int32_t result);
  void OnGathered();
  void DropStaged();
  void SinkGone(int error);
  void SinkFull();

  base::EventLoop& loop_;
  const std::string name_;
  absl::AnyInvocable<void()> on_gone_;
  absl::AnyInvocable<void()> on_idle_;
  absl::AnyInvocable<void()> on_full_;

  // Used on the loop thread only.
  std::optional<OutputSink> sink_;
  uint64_t sink_bytes_ = 0;  // written to `sink_`
  bool full_ = false;        // on_full was called, and Replace or GiveUp has not been called yet
  WriteOperation write_{*this};
  PollOperation poll_{*this};
  GatherOperation gather_{*this};
  // LIFETIME: the kernel reads the staged bytes, through `iov_` and `message_`, while `write_` is
  // pending. The staged bytes are a copy, because the ring may drop its oldest bytes at any time.
  std::unique_ptr<StagedBytes> staged_ = std::make_unique<StagedBytes>();
  size_t staged_begin_ = 0;
  size_t staged_end_ = 0;
  iovec iov_ = {};
  msghdr message_ = {};

  mutable base::Mutex mutex_;
  OutputRing ring_ ABSL_GUARDED_BY(mutex_);
  uint64_t written_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // True if the loop will look at the ring again without being woken: a write is in flight, or the
  // loop waits for the sink or for more bytes.
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool attached_ ABSL_GUARDED_BY(mutex_) = false;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_OUTPUT_PUMP_H_
