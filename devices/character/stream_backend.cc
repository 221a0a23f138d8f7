#include "devices/character/stream_backend.h"

#include <utility>

#include "base/status.h"
#include "devices/character/terminal.h"

namespace devices {

absl::StatusOr<std::unique_ptr<CharacterBackend>> StreamBackend::Create(base::EventLoop& loop,
                                                                        std::string name,
                                                                        Files files,
                                                                        InputPump::Filter filter) {
  std::unique_ptr<StreamBackend> backend(
      new StreamBackend(loop, std::move(name), std::move(files)));
  OutputSink sink = backend->files_.sink;
  ASSIGN_OR_RETURN(sink.file, loop.AddFile(backend->files_.output.get()));
  if (filter) backend->input_.set_filter(std::move(filter));
  if (backend->files_.input.valid()) {
    ASSIGN_OR_RETURN(const base::LoopFile input, loop.AddFile(backend->files_.input.get()));
    backend->input_.Attach(input);
  }
  backend->output_.Attach(sink);
  return backend;
}

StreamBackend::~StreamBackend() {
  if (files_.terminal_is_raw) RestoreTerminal();
}

void StreamBackend::SetClient(CharacterClient* client) {
  client_ = client;
  input_.SetClient(client);
  NotifyResize();
}

void StreamBackend::NotifyResize() {
  if (files_.terminal_fd >= 0) {
    loop_.Post([this] { TellSize(); });
  }
}

void StreamBackend::TellSize() {
  const auto size = GetTerminalSize(files_.terminal_fd);
  if (client_ != nullptr && size.has_value()) client_->OnResize(size->columns, size->rows);
}

}  // namespace devices
