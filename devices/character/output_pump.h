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

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "devices/character/output_ring.h"

namespace devices {

// Where output goes.
struct OutputSink {
  enum class Kind {
    kRegular,  // a disk file, written at its position or end: may take long; errors may pass
    kStream,   // a terminal, pipe or pty: an error means that the other end is gone
    kSocket,   // likewise, written by sendmsg
  };
  base::LoopFile file;
  Kind kind = Kind::kStream;
  // kRegular: how many bytes may be written to it, at least 4096; 0: any number. What flows on to a
  // reader is stored nowhere and needs no limit.
  uint64_t limit_bytes = 0;
  // Bytes that are known not to block after the file polled writable; 0 if it is O_NONBLOCK or a
  // socket and needs no such care.
  size_t blocking_limit_bytes = 0;
};

// Made and destroyed while the loop does not run. A write that is still in flight then keeps its
// buffer for ever.
class OutputPump {
 public:
  // `name` is the device's, for logs.
  OutputPump(base::EventLoop& loop, std::string name);
  ~OutputPump();
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;

  // Starts writing to `sink`. There must be none. Loop thread or before it runs.
  void Attach(const OutputSink& sink);
  // Gives the sink up; output collects in the ring. idle() is true when its file may be closed, and
  // `on_idle` is called when that takes until later. Loop thread.
  void Detach();
  bool idle() const { return !write_.pending() && !poll_.pending() && !gather_.pending(); }
  // Called on the loop: `on_gone` when a stream's or socket's other end is gone, where not setting
  // it means that nobody will come again and all output is dropped from then on.
  void set_on_gone(absl::AnyInvocable<void()> on_gone) { on_gone_ = std::move(on_gone); }
  void set_on_idle(absl::AnyInvocable<void()> on_idle) { on_idle_ = std::move(on_idle); }
  // Called on the loop when a sink has reached its limit; not setting it means that all output is
  // dropped from then on. No operation on the sink's file is pending, and none is started before
  // Replace or GiveUp.
  void set_on_full(absl::AnyInvocable<void()> on_full) { on_full_ = std::move(on_full); }
  // Goes on with another sink, or the same one made empty; `dropped_bytes` that had been written
  // are lost. / Drops all output from now on and logs `why`. Loop thread, after on_full.
  void Replace(const OutputSink& sink, uint64_t dropped_bytes);
  void GiveUp(const std::string& why);
  // CharacterBackend's function of the same name; `fd` is the sink's file. Loop thread.
  void FinishOutput(int fd);
  // Bytes written to the sink since it was attached. Loop thread.
  uint64_t sink_bytes() const { return sink_bytes_; }

  // CharacterBackend's functions of the same names. With no sink attached nothing is awaited:
  // drained() is true.
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

  // Loop thread.
  std::optional<OutputSink> sink_;
  uint64_t sink_bytes_ = 0;  // written to it
  bool full_ = false;        // on_full was called: Replace or GiveUp is to come
  WriteOperation write_{*this};
  PollOperation poll_{*this};
  GatherOperation gather_{*this};
  // LIFETIME: the kernel reads the staged bytes, through `iov_` and `message_`, while `write_` is
  // pending. They are a copy, since the ring may drop its oldest bytes at any time.
  std::unique_ptr<StagedBytes> staged_ = std::make_unique<StagedBytes>();
  size_t staged_begin_ = 0;
  size_t staged_end_ = 0;
  iovec iov_ = {};
  msghdr message_ = {};

  mutable base::Mutex mutex_;
  OutputRing ring_ ABSL_GUARDED_BY(mutex_);
  uint64_t written_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // The loop will look at the ring again without being told: a write is in flight, or it waits for
  // the sink or for more.
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool attached_ ABSL_GUARDED_BY(mutex_) = false;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_OUTPUT_PUMP_H_
