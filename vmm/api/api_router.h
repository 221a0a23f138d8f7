// Maps requests to commands: the paths, methods and codes of cloud-hypervisor's REST API.
#ifndef VMM_API_API_ROUTER_H_
#define VMM_API_API_ROUTER_H_

#include "absl/functional/any_invocable.h"
#include "vmm/api/api_handler.h"
#include "vmm/api/http_message.h"

namespace vmm {

using ApiReply = absl::AnyInvocable<void(HttpResponse)>;

// Returns whether `request` is always answered before RouteApiRequest returns, whatever the state
// of the VM and its devices.
bool IsAnsweredAtOnce(const HttpRequest& request);

// Answers `request` by calling `reply` once, at once or when `handler` is done. Control loop.
void RouteApiRequest(const HttpRequest& request, ApiHandler& handler, ApiReply reply);

}  // namespace vmm

#endif  // VMM_API_API_ROUTER_H_
