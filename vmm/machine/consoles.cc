#include "vmm/machine/consoles.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/character/create_backend.h"

namespace vmm {
namespace {

// `Config` is SerialConfig or ConsoleConfig. Returns null for mode Off.
template <typename Config>
absl::StatusOr<std::unique_ptr<devices::CharacterBackend>> CreateBackend(
    absl::string_view key, const Config& config, absl::AnyInvocable<void()> on_escape,
    base::EventLoop& loop) {
  devices::CharacterBackendOptions options;
  options.name = std::string(key);
  options.on_escape = std::move(on_escape);
  if (config.max_size.has_value()) options.max_file_bytes = *config.max_size;
  switch (config.mode) {
    case ConsoleMode::kOff:
      return nullptr;
    case ConsoleMode::kNull:
      options.mode = devices::CharacterMode::kNull;
      break;
    case ConsoleMode::kTty:
      options.mode = devices::CharacterMode::kTty;
      break;
    case ConsoleMode::kPty:
      options.mode = devices::CharacterMode::kPty;
      break;
    case ConsoleMode::kFile:
      options.mode = devices::CharacterMode::kFile;
      options.path = *config.file;
      break;
    case ConsoleMode::kSocket:
      options.mode = devices::CharacterMode::kSocket;
      options.path = *config.socket;
      break;
  }
  return devices::CreateCharacterBackend(std::move(options), loop);
}

void LogLossesOf(absl::string_view key, const devices::CharacterBackend* backend) {
  if (backend == nullptr) return;
  const uint64_t dropped = backend->dropped_bytes(), removed = backend->removed_bytes();
  if (dropped != 0) {
    // UNLIMITED: runs once, at the end of the VM.
    LOG(Warning) << key << ": " << dropped << " of " << backend->written_bytes()
                 << " bytes of output were dropped";
  }
  if (removed != 0) {
    // UNLIMITED: as above.
    LOG(Info) << key << ": the oldest " << removed << " of " << backend->written_bytes()
              << " bytes of output were removed from its files to keep within max_size";
  }
}

}  // namespace

absl::Status Consoles::Open(const VmConfig& config, absl::AnyInvocable<void()> on_escape,
                            base::EventLoop& loop) {
  // The config allows mode Tty for one of the two. The other back end never calls on_escape.
  const bool serial_is_tty = config.serial.mode == ConsoleMode::kTty;
  absl::AnyInvocable<void()> none = [] {};
  ASSIGN_OR_RETURN(serial_, CreateBackend("serial", config.serial,
                                          std::move(serial_is_tty ? on_escape : none), loop));
  ASSIGN_OR_RETURN(console_, CreateBackend("console", config.console,
                                           std::move(serial_is_tty ? none : on_escape), loop));
  return absl::OkStatus();
}

uint64_t Consoles::written_bytes() const {
  return (serial_ == nullptr ? 0 : serial_->written_bytes()) +
         (console_ == nullptr ? 0 : console_->written_bytes());
}

bool Consoles::drained() const {
  return (serial_ == nullptr || serial_->drained()) && (console_ == nullptr || console_->drained());
}

void Consoles::FinishOutput() {
  if (serial_ != nullptr) serial_->FinishOutput();
  if (console_ != nullptr) console_->FinishOutput();
}

void Consoles::NotifyTerminal() {
  if (serial_ != nullptr) serial_->NotifyTerminal();
  if (console_ != nullptr) console_->NotifyTerminal();
}

void Consoles::LogLosses() const {
  LogLossesOf("serial", serial());
  LogLossesOf("console", console());
}

}  // namespace vmm
