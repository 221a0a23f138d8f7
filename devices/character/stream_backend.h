// A character backend on files that are open for its whole life: a terminal, a pty, a file.
#ifndef DEVICES_CHARACTER_STREAM_BACKEND_H_
#define DEVICES_CHARACTER_STREAM_BACKEND_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "devices/character/character_backend.h"
#include "devices/character/input_pump.h"
#include "devices/character/output_pump.h"
#include "devices/character/rotating_file.h"

namespace devices {

class StreamBackend final : public CharacterBackend {
 public:
  struct Files {
    base::UniqueFd input;   // none: nothing is read
    base::UniqueFd output;  // none: `rotating` is the output
    std::optional<RotatingFile> rotating;
    OutputSink sink;                 // `file` is set by Create
    base::UniqueFd kept_open;        // only held: a pty whose last user left would report errors
    int terminal_fd = -1;            // not owned: whose size the client is told, -1 for none
    bool input_is_terminal = false;  // `terminal_fd`: read and raw while in its foreground
    std::string path;
  };

  static absl::StatusOr<std::unique_ptr<CharacterBackend>> Create(base::EventLoop& loop,
                                                                  std::string name, Files files,
                                                                  InputPump::Filter filter);
  ~StreamBackend() override;

  void SetClient(CharacterClient* client) override;
  void Write(std::span<const uint8_t> bytes) override { output_.Write(bytes); }
  void ResumeInput() override { input_.ResumeInput(); }
  void FinishOutput() override;
  bool drained() const override { return output_.drained(); }
  uint64_t written_bytes() const override { return output_.written_bytes(); }
  uint64_t dropped_bytes() const override { return output_.dropped_bytes(); }
  uint64_t removed_bytes() const override { return removed_bytes_.load(); }
  void NotifyTerminal() override;
  std::string host_path() const override { return files_.path; }

 private:
  // A rotation may hang with its file system and outlive the backend: it is on a thread of its own,
  // and what it works on is shared with it.
  struct Rotator {
    explicit Rotator(RotatingFile f) : files(std::move(f)) {}
    RotatingFile files;  // the thread's while there is one, else the loop's
    base::Mutex mutex;
    StreamBackend* backend ABSL_GUARDED_BY(mutex) = nullptr;  // until it is destroyed
  };

  StreamBackend(base::EventLoop& loop, std::string name, Files files)
      : loop_(loop),
        name_(name),
        files_(std::move(files)),
        output_(loop, std::move(name)),
        input_(loop) {}
  absl::Status AttachInput();
  absl::Status AttachRotating();
  void Rotate();
  void OnRotated(const RotatingFile::Rotation& rotation);
  // Looks whose terminal it is; connects or disconnects it. Loop thread or before it runs. Errors:
  // it cannot be made raw.
  absl::Status FollowTerminal();
  void FollowTerminalOrLog();
  void OnInputEnd();
  void TellSize();

  struct WatchOperation final : base::Operation {
    explicit WatchOperation(StreamBackend& owner) : backend(owner) {}
    void OnComplete(int32_t /*result*/) override { backend.FollowTerminalOrLog(); }
    StreamBackend& backend;
  };

  base::EventLoop& loop_;
  const std::string name_;
  Files files_;
  std::shared_ptr<Rotator> rotator_;
  base::LoopFile current_, predecessor_;  // of `rotator_`
  uint64_t predecessor_bytes_ = 0;        // of this run
  std::atomic<uint64_t> removed_bytes_ = 0;
  OutputPump output_;
  InputPump input_;
  base::LoopFile input_file_;
  bool input_attached_ = false;
  bool made_raw_ = false;        // the terminal, at some time
  WatchOperation watch_{*this};  // while another job has the terminal
  CharacterClient* client_ = nullptr;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_STREAM_BACKEND_H_
