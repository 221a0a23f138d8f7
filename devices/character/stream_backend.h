// A character backend on files that stay open for its whole life: a terminal, a pty or a file.
#ifndef DEVICES_CHARACTER_STREAM_BACKEND_H_
#define DEVICES_CHARACTER_STREAM_BACKEND_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

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
    base::UniqueFd input;   // may be none: nothing is read then
    base::UniqueFd output;  // may be none: `rotating` is the output then
    std::optional<RotatingFile> rotating;
    OutputSink sink;                 // Create sets the member `file`
    base::UniqueFd kept_open;        // a pty that no program has open would report errors
    int terminal_fd = -1;            // not owned: the client is told its size; -1 for none
    bool input_is_terminal = false;  // `terminal_fd` is read, and is raw, while in its foreground
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
  // A rotation may hang with its file system and outlive the backend. It therefore runs on its own
  // thread, and shares what it works on with the backend.
  struct Rotator {
    explicit Rotator(RotatingFile f) : files(std::move(f)) {}
    RotatingFile files;  // used by the thread while there is one, otherwise by the loop
    base::Mutex mutex;
    StreamBackend* backend ABSL_GUARDED_BY(mutex) = nullptr;  // null once the backend is destroyed
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
  // Checks which job has the terminal, and connects or disconnects it. Loop thread or before it
  // runs. Errors: the terminal cannot be made raw.
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
  base::LoopFile current_, predecessor_;  // the files of `rotator_`
  uint64_t predecessor_bytes_ = 0;        // written by this process
  std::atomic<uint64_t> removed_bytes_ = 0;
  OutputPump output_;
  InputPump input_;
  base::LoopFile input_file_;
  bool input_attached_ = false;
  bool made_raw_ = false;        // the terminal was made raw at some time
  WatchOperation watch_{*this};  // pending while another job has the terminal
  CharacterClient* client_ = nullptr;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_STREAM_BACKEND_H_
