// `vmm --config vm.json`: one process, one virtual machine. [docs/design.md]

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/log.h"
#include "base/status.h"
#include "base/unix_listener.h"
#include "base/uring_event_loop.h"
#include "devices/character/terminal.h"
#include "vmm/api/api_server.h"
#include "vmm/config/command_line.h"
#include "vmm/config/config_warnings.h"
#include "vmm/config/load_config.h"
#include "vmm/config/print_config.h"
#include "vmm/kvm/early_kvm.h"
#include "vmm/machine/api_adapter.h"
#include "vmm/machine/controller.h"
#include "vmm/machine/devices/net.h"
#include "vmm/machine/host_resources.h"
#include "vmm/signals.h"
#include "vmm/startup_pages.h"

namespace vmm {
namespace {

// How long the process waits for the disks at its end. A slow disk may have much to write, but a
// disk that hangs must not keep the process for ever.
constexpr std::chrono::seconds kFinalSyncPatience{60};
constexpr int kApiBacklog = 64;  // clients of the control socket that may wait to be accepted

int Fail(const absl::Status& status, ExitStatus exit_status) {
  const std::string line = absl::StrCat("vmm: ", status.message(), "\n");
  // If stderr is gone, there is nowhere else to report to.
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line.data(), line.size());
  return static_cast<int>(exit_status);
}

int Print(const std::string& text) {
  const bool ok = fwrite(text.data(), 1, text.size(), stdout) == text.size() && fflush(stdout) == 0;
  return ok ? 0 : Fail(base::ErrnoStatus(errno, "standard output"), ExitStatus::kBadConfigOrHost);
}

void OnSignal(int signal, Controller& controller, HostResources& host) {
  switch (signal) {
    case SIGTERM:
      return controller.RequestStop("SIGTERM");
    case SIGINT:
      return controller.RequestStop("SIGINT");
    case SIGTSTP:
      // The terminal belongs to the shell while this process is stopped.
      devices::RestoreTerminal();
      StopAsJob();
      return host.consoles().NotifyTerminal();
    case SIGCONT:
    case SIGWINCH:
      return host.consoles().NotifyTerminal();
    case SIGHUP:
      return host.devices().Reread();
    default:
      return;
  }
}

// What --check examines in addition to the config itself: that the payload exists and can be
// booted. Disks and sockets may be made later.
absl::Status CheckPayload(const VmConfig& config) {
  ASSIGN_OR_RETURN(const PayloadFiles files, OpenPayload(config.payload));
  ASSIGN_OR_RETURN(const GuestLayout layout,
                   MakeGuestLayout(config.memory.size, config.cpus.max_phys_bits));
  return PlanPayload(config.payload, files, layout).status();
}

absl::StatusOr<ExitStatus> RunVm(const CommandLine& arguments, const VmConfig& config,
                                 std::optional<base::UnixListener> api_socket,
                                 EarlyKvm& early_kvm) {
  // Before there is a ring, whose memory and files a child would keep.
  ASSIGN_OR_RETURN(PasstLaunchers launchers, StartPasstLaunchers(config));
  BlockSignals();
  RETURN_IF_ERROR(RaiseDescriptorLimit().status());
  base::UringEventLoop::Options control_options;
  control_options.fixed_files = false;  // control clients come and go
  ASSIGN_OR_RETURN(const std::unique_ptr<base::UringEventLoop> loop,
                   base::UringEventLoop::Create(control_options));
  std::optional<EarlyKvm::Result> kvm;
  const auto guest_phys_bits = [&]() -> absl::StatusOr<uint32_t> {
    ASSIGN_OR_RETURN(kvm, early_kvm.Take());
    return kvm->system.phys_bits();
  };
  Controller* controller_ptr = nullptr;
  ASSIGN_OR_RETURN(const std::unique_ptr<HostResources> host,
                   HostResources::Open(
                       config, guest_phys_bits,
                       [&loop, &controller_ptr] {
                         loop->Post([&controller_ptr] { controller_ptr->ForceEnd("Ctrl-a x"); });
                       },
                       std::move(launchers)));
  InstallFaultHandlers(host->memory());
  Controller controller(config,
                        {.exit_on_reboot = arguments.on_reboot == CommandLine::OnReboot::kExit,
                         .stop_timeout = std::chrono::seconds(arguments.stop_timeout_seconds)},
                        kvm->system, *host, *loop);
  controller_ptr = &controller;
  ASSIGN_OR_RETURN(const auto signals, SignalWatcher::Create(*loop, [&](int signal) {
                     OnSignal(signal, controller, *host);
                   }));
  ApiAdapter api(controller, *host, *loop);
  std::unique_ptr<ApiServer> server;
  if (arguments.api_socket_path) {
    auto listener =
        base::UnixListener::Listen(*arguments.api_socket_path, {.backlog = kApiBacklog});
    if (!listener.ok()) return base::Annotate(listener.status(), "--api-socket");
    api_socket.emplace(*std::move(listener));
  }
  if (api_socket) {
    ASSIGN_OR_RETURN(server, ApiServer::Create(*loop, api, *std::move(api_socket)));
  }
  RETURN_IF_ERROR(controller.Boot(std::move(kvm->vm)));
  StartupPages startup_pages(*loop);
  loop->Run();
  const HostResources::Finished finished = host->Finish(kFinalSyncPatience);
  const ExitStatus status =
      finished.synced ? controller.exit_status() : WithLostWrites(controller.exit_status());
  if (arguments.stats && finished.threads_ended) {
    fputs(host->devices().CountersText().c_str(), stderr);
  }
  // The error has been logged.
  if (!finished.threads_ended) {
    server.reset();  // also removes the socket's name
    devices::RestoreTerminal();
    _exit(static_cast<int>(status));
  }
  return status;
}

// Makes sure that standard input, output and error are open. Otherwise the next files to be opened
// would get their numbers, and log lines would be written into a disk image.
void OpenStandardFiles() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

int Main(int argc, char** argv) {
  InstallAbortHandlers();
  // Use one malloc arena. Threads allocate too rarely to disturb each other, and each further arena
  // costs four system calls at a thread's first allocation, which would delay the guest's first
  // byte.
  mallopt(M_ARENA_MAX, 1);
  OpenStandardFiles();
  const auto arguments = ParseCommandLine(argc, argv);
  if (!arguments.ok()) return Fail(arguments.status(), ExitStatus::kUsage);
  base::SetLogLevel(arguments->log_level);
  if (arguments->action == CommandLine::Action::kPrintText) return Print(arguments->text);
  const bool run = arguments->action == CommandLine::Action::kRun;
  // Adopt the descriptor before anything else is opened: otherwise a number that was not passed
  // could be one of our own descriptors.
  std::optional<base::UnixListener> api_socket;
  if (run && arguments->api_socket_fd) {
    auto adopted = base::UnixListener::Adopt(*arguments->api_socket_fd);
    if (!adopted.ok()) {
      return Fail(base::Annotate(adopted.status(), "--api-socket"), ExitStatus::kBadConfigOrHost);
    }
    api_socket.emplace(*std::move(adopted));
  }
  std::optional<EarlyKvm> early_kvm;
  if (run) early_kvm.emplace();
  const auto config = LoadVmConfig(arguments->config_path, arguments->overrides);
  if (!config.ok()) return Fail(config.status(), ExitStatus::kBadConfigOrHost);
  if (arguments->action != CommandLine::Action::kPrintConfig) {
    for (const std::string& warning : ConfigWarnings(*config)) {
      // UNLIMITED: logged at the start only.
      LOG(Warning) << arguments->config_path << ": " << warning;
    }
  }
  switch (arguments->action) {
    case CommandLine::Action::kCheck:
      if (const absl::Status status = CheckPayload(*config); !status.ok()) {
        return Fail(status, ExitStatus::kBadConfigOrHost);
      }
      return Print(absl::StrCat(arguments->config_path, ": good\n"));
    case CommandLine::Action::kPrintConfig:
      return Print(PrintVmConfig(*config, PrintStyle::kPretty));
    default:
      break;
  }
  const auto exit_status = RunVm(*arguments, *config, std::move(api_socket), *early_kvm);
  devices::RestoreTerminal();
  if (!exit_status.ok()) return Fail(exit_status.status(), ExitStatus::kBadConfigOrHost);
  return static_cast<int>(*exit_status);
}

}  // namespace
}  // namespace vmm

int main(int argc, char** argv) { return vmm::Main(argc, argv); }
