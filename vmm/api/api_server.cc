#include "vmm/api/api_server.h"

#include <errno.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "vmm/api/api_router.h"

namespace vmm {
namespace {

// After a failed accept (no descriptor left): not at once again, or the loop would spin.
constexpr std::chrono::seconds kAcceptRetryDelay{1};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Create(base::EventLoop& loop,
                                                             ApiHandler& handler,
                                                             base::UnixListener socket,
                                                             const Options& options) {
  auto server =
      std::unique_ptr<ApiServer>(new ApiServer(loop, handler, std::move(socket), options));
  ASSIGN_OR_RETURN(server->file_, loop.AddFile(server->socket_.fd()));
  server->Accept();
  return server;
}

void ApiServer::OnAccepted(int32_t result) {
  if (result == -ECANCELED) return;
  if (result < 0 && result != -ECONNABORTED && result != -EINTR && result != -EAGAIN) {
    LOG_EVERY_N_SEC(Warning, 10) << "api: cannot accept a client: errno " << -result;
    return loop_.Timeout(retry_, kAcceptRetryDelay);
  }
  if (result >= 0) AddClient(base::UniqueFd(result));
  Accept();
}

void ApiServer::AddClient(base::UniqueFd fd) {
  const auto busy =
      static_cast<size_t>(std::count_if(clients_.begin(), clients_.end(), [](const auto& client) {
        return !client.second->closing();
      }));
  // Those being closed or refused are few and short-lived, unless someone floods the socket.
  if (clients_.size() >= 4 * options_.max_clients) return;
  const absl::StatusOr<base::LoopFile> file = loop_.AddFile(fd.get());
  if (!file.ok()) {
    LOG_EVERY_N_SEC(Warning, 10) << "api: cannot serve a client: " << file.status().message();
    return;
  }
  const bool served = busy < options_.max_clients || MakeRoom();
  const uint64_t id = next_id_++;
  auto& client = clients_[id];
  Owner& owner = *this;
  client = std::make_unique<ApiConnection>(loop_, owner, id, std::move(fd), *file,
                                           options_.client_timeout);
  if (served) return client->Start();
  client->Refuse(
      HttpError(503, absl::StrCat("all ", options_.max_clients, " connections are busy")));
}

bool ApiServer::MakeRoom() {
  ApiConnection* oldest = nullptr;
  for (const auto& [id, client] : clients_) {
    if (!client->waiting_for_request()) continue;
    if (oldest == nullptr || client->waiting_since() < oldest->waiting_since()) {
      oldest = client.get();
    }
  }
  if (oldest == nullptr) return false;
  oldest->Close();
  return true;
}

void ApiServer::OnRequest(ApiConnection& connection, const HttpRequest& request) {
  // The client may be gone by the time the answer is known, and its number is never used again.
  RouteApiRequest(request, handler_, [this, id = connection.id()](HttpResponse response) {
    const auto client = clients_.find(id);
    if (client != clients_.end()) client->second->Reply(response);
  });
}

void ApiServer::OnClosed(ApiConnection& connection) {
  // Its functions are still on the stack.
  loop_.Post([this, id = connection.id()] { clients_.erase(id); });
}

}  // namespace vmm
