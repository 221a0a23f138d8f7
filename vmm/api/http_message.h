// Turns bytes into HTTP/1.1 requests, and responses into bytes. Pure. Only http_message.cc knows
// the HTTP library. [RFC 9112]
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

// Returns an error response, whose body is a JSON array of one string as in cloud-hypervisor's API.
HttpResponse ErrorResponse(int status, absl::string_view message);

// Returns the bytes of `response`. `keep_alive` says whether the connection stays open afterwards.
std::string SerializeHttpResponse(const HttpResponse& response, bool keep_alive);

// Splits a stream of bytes into requests. Holds at most one header, one body, and the bytes that
// arrived in the same piece after them.
class HttpRequestParser {
 public:
  enum class Outcome {
    kNeedsMore,      // Append() more bytes
    kNeedsContinue,  // the client waits for "100 Continue" before it sends the body; returned once
    kRequest,        // call TakeRequest()
    kError,          // answer error() and close, because the start of the next request is unknown
  };

  HttpRequestParser();
  ~HttpRequestParser();
  HttpRequestParser(const HttpRequestParser&) = delete;
  HttpRequestParser& operator=(const HttpRequestParser&) = delete;

  void Append(absl::string_view bytes);
  // Parses the appended bytes. After kRequest and TakeRequest() the next call continues behind that
  // request. After kError every call returns kError.
  Outcome Parse();
  HttpRequest TakeRequest();
  const HttpResponse& error() const { return error_; }
  // Returns true if no byte of a next request has arrived.
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
