// Fuzzes the control socket: cuts its bytes into requests, in pieces of any size, and routes them.
// Input: one byte for the size of pieces (0: all at once), then the stream. If the size is 0x80 or
// more, bytes of the stream above 0x7f stand for words of the protocol.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "tests/fuzz/tokens.h"
#include "vmm/api/api_router.h"
#include "vmm/api/http_message.h"
#include "vmm/api/testing/api_handler_fixtures.h"

namespace {

constexpr absl::string_view kWords[] = {
    "GET /api/v1/",
    "PUT /api/v1/",
    "POST ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "\r\n",
    "\r\n\r\n",
    "Host: localhost\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Content-Type: application/json\r\n",
    "Upgrade: h2c\r\n",
    "vmm.ping",
    "vmm.shutdown",
    "vm.info",
    "vm.counters",
    "vm.pause",
    "vm.resume",
    "vm.power-button",
    "vm.reboot",
    "vm.create",
    "vm.add-disk",
    "vm.shutdown",
    "GET /api/v1/vmm.ping HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /api/v1/vm.pause HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    "0\r\n\r\n",
    "18446744073709551616",
    "X-Long: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
    "{\"path\": \"/a\"}",
};

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
  const std::span<const uint8_t> rest(data + 1, size - 1);
  const std::string text =
      data[0] >= 0x80 ? ExpandTokens(rest, kWords) : std::string(rest.begin(), rest.end());
  absl::string_view stream = text;
  const size_t piece = data[0] % 0x80 == 0 ? stream.size() : data[0] % 0x80;
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
      CHECK(++requests <= 2 * text.size());  // each result uses up input
    }
  }
  return 0;
}
