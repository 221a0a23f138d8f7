#include "devices/character/stream_backend.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"
#include "devices/character/terminal.h"

namespace devices {
namespace {

// How often a process in the background checks whether it is in the foreground. bash sends no
// signal when it brings a running job to the foreground.
constexpr std::chrono::milliseconds kWatchPeriod{250};

}  // namespace

absl::StatusOr<std::unique_ptr<CharacterBackend>> StreamBackend::Create(base::EventLoop& loop,
                                                                        std::string name,
                                                                        Files files,
                                                                        InputPump::Filter filter) {
  std::unique_ptr<StreamBackend> backend(
      new StreamBackend(loop, std::move(name), std::move(files)));
  if (filter) backend->input_.set_filter(std::move(filter));
  if (backend->files_.input.valid()) {
    ASSIGN_OR_RETURN(backend->input_file_, loop.AddFile(backend->files_.input.get()));
    RETURN_IF_ERROR(backend->AttachInput());
  }
  if (backend->files_.rotating.has_value()) {
    RETURN_IF_ERROR(backend->AttachRotating());
  } else {
    OutputSink sink = backend->files_.sink;
    ASSIGN_OR_RETURN(sink.file, loop.AddFile(backend->files_.output.get()));
    backend->output_.Attach(sink);
  }
  return backend;
}

StreamBackend::~StreamBackend() {
  if (rotator_ != nullptr) {
    base::MutexLock lock(rotator_->mutex);
    rotator_->backend = nullptr;
  }
  if (made_raw_) RestoreTerminal();
}

absl::Status StreamBackend::AttachInput() {
  if (!files_.input_is_terminal) {
    input_.Attach(input_file_);
    return absl::OkStatus();
  }
  input_.set_on_end([this] { OnInputEnd(); });
  input_.set_on_idle([this] { FollowTerminalOrLog(); });
  if (GetTerminalUse(files_.terminal_fd) == TerminalUse::kForeground) {
    RETURN_IF_ERROR(MakeTerminalRaw(files_.terminal_fd));
    made_raw_ = true;
  } else {
    // UNLIMITED: logged once, at the start.
    LOG(Info) << name_
              << ": started in the background; the terminal is connected when vmm comes "
                 "to the foreground";
  }
  return FollowTerminal();
}

absl::Status StreamBackend::FollowTerminal() {
  switch (GetTerminalUse(files_.terminal_fd)) {
    case TerminalUse::kNone:
      return absl::OkStatus();
    case TerminalUse::kForeground:
      if (!RenewRawTerminal(files_.terminal_fd)) {
        RETURN_IF_ERROR(MakeTerminalRaw(files_.terminal_fd));
        made_raw_ = true;
      }
      // An operation that the last disconnect left in flight has to end first. This function is
      // then called again.
      if (!input_attached_ && input_.idle()) {
        input_attached_ = true;
        input_.Attach(input_file_);
      }
      return absl::OkStatus();
    case TerminalUse::kBackground:
      ForgetTerminal();
      if (std::exchange(input_attached_, false)) input_.Detach();
      if (!watch_.pending()) loop_.Timeout(watch_, kWatchPeriod);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

void StreamBackend::FollowTerminalOrLog() {
  const absl::Status status = FollowTerminal();
  if (!status.ok()) LOG_LIMITED(Warning, 60, name_) << name_ << ": " << status.message();
}

// The terminal was hung up, or this process was sent to the background during a read. Such a read
// fails because SIGTTIN is blocked.
void StreamBackend::OnInputEnd() {
  if (GetTerminalUse(files_.terminal_fd) != TerminalUse::kBackground) return;
  input_attached_ = false;
  FollowTerminalOrLog();
}

absl::Status StreamBackend::AttachRotating() {
  rotator_ = std::make_shared<Rotator>(*std::move(files_.rotating));
  {
    base::MutexLock lock(rotator_->mutex);
    rotator_->backend = this;
  }
  const RotatingFile& files = rotator_->files;
  if (!files.predecessor_error().empty()) {
    // UNLIMITED: logged once, at the start.
    LOG(Warning) << name_ << ": " << files.predecessor_error() << "; " << files_.path
                 << " is emptied each time it reaches its max_size of " << files_.sink.limit_bytes
                 << " bytes";
  }
  ASSIGN_OR_RETURN(current_, loop_.AddFile(files.file()));
  if (files.predecessor() >= 0) {
    ASSIGN_OR_RETURN(predecessor_, loop_.AddFile(files.predecessor()));
  }
  output_.set_on_full([this] { Rotate(); });
  files_.sink.file = current_;
  output_.Attach(files_.sink);
  return absl::OkStatus();
}

void StreamBackend::Rotate() {
  const auto rotate = [rotator = rotator_] {
    const RotatingFile::Rotation rotation = rotator->files.Rotate();
    base::MutexLock lock(rotator->mutex);
    StreamBackend* const backend = rotator->backend;
    if (backend == nullptr) return;
    backend->loop_.Post([backend, rotation] { backend->OnRotated(rotation); });
  };
  absl::StatusOr<std::thread> thread = base::StartThread("rotate", rotate);
  if (thread.ok()) return thread->detach();
  LOG_LIMITED(Warning, 60, name_) << name_ << ": " << thread.status().message();
  rotate();
}

void StreamBackend::OnRotated(const RotatingFile::Rotation& rotation) {
  const uint64_t file_bytes = output_.sink_bytes();
  if (rotation.predecessor_emptied) {
    removed_bytes_ += std::exchange(predecessor_bytes_, 0);
  }
  switch (rotation.outcome) {
    case RotatingFile::Outcome::kExchanged:
      predecessor_bytes_ = file_bytes;
      std::swap(current_, predecessor_);
      files_.sink.file = current_;
      return output_.Replace(files_.sink, /*dropped_bytes=*/0);
    case RotatingFile::Outcome::kStartedOver:
      LOG_LIMITED(Warning, 60, name_) << name_ << ": " << files_.path << " was emptied, and "
                                      << file_bytes << " bytes are lost: " << rotation.error;
      return output_.Replace(files_.sink, file_bytes);
    case RotatingFile::Outcome::kLost:
      return output_.GiveUp(absl::StrCat(files_.path, " has reached its max_size of ",
                                         files_.sink.limit_bytes, " bytes, and ", rotation.error));
  }
}

void StreamBackend::SetClient(CharacterClient* client) {
  client_ = client;
  input_.SetClient(client);
  NotifyTerminal();
}

void StreamBackend::FinishOutput() {
  if (files_.output.valid()) {
    loop_.Post([this] { output_.FinishOutput(files_.output.get()); });
  }
}

void StreamBackend::NotifyTerminal() {
  if (files_.terminal_fd < 0) return;
  loop_.Post([this] {
    if (files_.input_is_terminal) FollowTerminalOrLog();
    TellSize();
  });
}

void StreamBackend::TellSize() {
  const auto size = GetTerminalSize(files_.terminal_fd);
  if (client_ != nullptr && size.has_value()) client_->OnResize(size->columns, size->rows);
}

}  // namespace devices
