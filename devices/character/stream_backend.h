// A character backend on files that are open for its whole life: a terminal, a pty, a file.
#ifndef DEVICES_CHARACTER_STREAM_BACKEND_H_
#define DEVICES_CHARACTER_STREAM_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "devices/character/character_backend.h"
#include "devices/character/input_pump.h"
#include "devices/character/output_pump.h"

namespace devices {

class StreamBackend final : public CharacterBackend {
 public:
  struct Files {
    base::UniqueFd input;  // none: nothing is read
    base::UniqueFd output;
    OutputSink sink;               // `file` is set by Create
    base::UniqueFd kept_open;      // only held: a pty whose last user left would report errors
    int terminal_fd = -1;          // not owned: whose size the client is told, -1 for none
    bool terminal_is_raw = false;  // to be restored at the end
    std::string path;
  };

  static absl::StatusOr<std::unique_ptr<CharacterBackend>> Create(base::EventLoop& loop,
                                                                  std::string name, Files files,
                                                                  InputPump::Filter filter);
  ~StreamBackend() override;

  void SetClient(CharacterClient* client) override;
  void Write(std::span<const uint8_t> bytes) override { output_.Write(bytes); }
  void ResumeInput() override { input_.ResumeInput(); }
  bool drained() const override { return output_.drained(); }
  uint64_t written_bytes() const override { return output_.written_bytes(); }
  uint64_t dropped_bytes() const override { return output_.dropped_bytes(); }
  void NotifyResize() override;
  std::string host_path() const override { return files_.path; }

 private:
  StreamBackend(base::EventLoop& loop, std::string name, Files files)
      : loop_(loop), files_(std::move(files)), output_(loop, std::move(name)), input_(loop) {}
  void TellSize();

  base::EventLoop& loop_;
  Files files_;
  OutputPump output_;
  InputPump input_;
  CharacterClient* client_ = nullptr;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_STREAM_BACKEND_H_
