// The control socket's bytes: cut into requests, in pieces of any size, and routed.
// Input: one byte of piece size (0: all at once), then the stream.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/log.h"
#include "vmm/api/api_router.h"
#include "vmm/api/fake_api_handler.h"
#include "vmm/api/http_message.h"

namespace {

void Route(const vmm::HttpRequest& request) {
  vmm::FakeApiHandler handler;
  int answers = 0;
  vmm::RouteApiRequest(request, handler, [&answers](const vmm::HttpResponse& response) {
    ++answers;
    CHECK(!vmm::SerializeHttpResponse(response, true).empty());
  });
  CHECK(answers == 1);
  CHECK(handler.calls.size() <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  absl::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = data[0] == 0 ? stream.size() : data[0];
  vmm::HttpRequestParser parser;
  size_t requests = 0;
  while (!stream.empty()) {
    parser.Append(stream.substr(0, piece));
    stream.remove_prefix(std::min(piece, stream.size()));
    while (true) {
      const auto outcome = parser.Parse();
      if (outcome == vmm::HttpRequestParser::Outcome::kNeedsMore) break;
      if (outcome == vmm::HttpRequestParser::Outcome::kError) {
        CHECK(!vmm::SerializeHttpResponse(parser.error(), false).empty());
        return 0;
      }
      if (outcome == vmm::HttpRequestParser::Outcome::kRequest) Route(parser.TakeRequest());
      CHECK(++requests <= 2 * size);  // each outcome uses up input
    }
  }
  return 0;
}
