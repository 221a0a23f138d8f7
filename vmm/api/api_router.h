// Which request means what: the paths, methods and codes of cloud-hypervisor's REST API.
#ifndef VMM_API_API_ROUTER_H_
#define VMM_API_API_ROUTER_H_

#include "absl/functional/any_invocable.h"
#include "vmm/api/api_handler.h"
#include "vmm/api/http_message.h"

namespace vmm {

using ApiReply = absl::AnyInvocable<void(HttpResponse)>;

// Returns whether `request` is answered before RouteApiRequest returns, whatever state the VM and
// its devices are in.
bool IsAnsweredAtOnce(const HttpRequest& request);

// Answers `request` by one call of `reply`, at once or when `handler` is done. Control loop.
void RouteApiRequest(const HttpRequest& request, ApiHandler& handler, ApiReply reply);

}  // namespace vmm

#endif  // VMM_API_API_ROUTER_H_
