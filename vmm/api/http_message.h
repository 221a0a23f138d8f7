// HTTP/1.1 requests out of bytes and responses into bytes. Pure; the only code that knows the HTTP
// library is http_message.cc. [RFC 9112]
#ifndef VMM_API_HTTP_MESSAGE_H_
#define VMM_API_HTTP_MESSAGE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace vmm {

inline constexpr size_t kMaxHttpHeaderBytes = 8 << 10;
inline constexpr size_t kMaxHttpBodyBytes = 1 << 20;

struct HttpRequest {
  std::string method;  // as sent: GET, PUT, ...
  std::string target;  // as sent: /api/v1/vm.info
  std::string body;
  bool keep_alive = true;
};

struct HttpResponse {
  int status = 204;
  std::string body;  // JSON, or empty
};

// Returns an error response: its body is a JSON array of one string, as cloud-hypervisor's are.
HttpResponse ErrorResponse(int status, absl::string_view message);

// Returns the bytes of `response`. `keep_alive`: whether the connection stays open after it.
std::string SerializeHttpResponse(const HttpResponse& response, bool keep_alive);

// Cuts a stream of bytes into requests. Holds at most one header, one body and what came in the
// same piece behind them.
class HttpRequestParser {
 public:
  enum class Outcome {
    kNeedsMore,      // Append() more bytes
    kNeedsContinue,  // the client waits for "100 Continue" before it sends the body; said once
    kRequest,        // TakeRequest()
    kError,          // answer error() and close: where the next request starts is not known
  };

  HttpRequestParser();
  ~HttpRequestParser();
  HttpRequestParser(const HttpRequestParser&) = delete;
  HttpRequestParser& operator=(const HttpRequestParser&) = delete;

  void Append(absl::string_view bytes);
  // Looks at what was appended. After kRequest and TakeRequest() the next call goes on behind it;
  // after kError it stays at kError.
  Outcome Parse();
  HttpRequest TakeRequest();
  const HttpResponse& error() const { return error_; }
  // True if nothing of a next request has arrived.
  bool empty() const;

 private:
  struct Impl;

  Outcome Fail(int status, absl::string_view message);

  std::unique_ptr<Impl> impl_;
  std::string buffer_;  // appended and not yet consumed
  HttpResponse error_;
  bool failed_ = false;
};

}  // namespace vmm

#endif  // VMM_API_HTTP_MESSAGE_H_
