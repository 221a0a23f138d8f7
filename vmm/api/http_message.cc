#include "vmm/api/http_message.h"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "vmm/config/json_value.h"

namespace vmm {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using RequestParser = http::request_parser<http::string_body>;

std::string ToString(beast::string_view text) { return std::string(text.data(), text.size()); }

}  // namespace

struct HttpRequestParser::Impl {
  Impl() {
    parser.header_limit(kMaxHttpHeaderBytes);
    parser.body_limit(kMaxHttpBodyBytes);
    // The parser makes one step per put(), so that the header can be checked before the body is
    // taken.
    parser.eager(false);
  }
  RequestParser parser;
  bool started = false;
  bool header_seen = false;
  size_t header_bytes = 0;
};

HttpRequestParser::HttpRequestParser() : impl_(std::make_unique<Impl>()) {}
HttpRequestParser::~HttpRequestParser() = default;

void HttpRequestParser::Append(absl::string_view bytes) {
  if (!failed_) buffer_.append(bytes.data(), bytes.size());
}

bool HttpRequestParser::empty() const { return buffer_.empty() && !impl_->started; }

HttpRequestParser::Outcome HttpRequestParser::Fail(int status, absl::string_view message) {
  failed_ = true;
  error_ = ErrorResponse(status, message);
  buffer_.clear();
  return Outcome::kError;
}

HttpRequestParser::Outcome HttpRequestParser::Parse() {
  if (failed_) return Outcome::kError;
  RequestParser& parser = impl_->parser;
  while (!parser.is_done()) {
    if (buffer_.empty()) return Outcome::kNeedsMore;
    beast::error_code error;
    const size_t used = parser.put(boost::asio::buffer(buffer_), error);
    buffer_.erase(0, used);
    if (used > 0) impl_->started = true;
    if (!impl_->header_seen) impl_->header_bytes += used;
    // The library's limit applies to the first line and to the fields separately.
    if (error == http::error::header_limit || impl_->header_bytes > kMaxHttpHeaderBytes) {
      return Fail(431, absl::StrCat("the header is larger than ", kMaxHttpHeaderBytes, " bytes"));
    }
    if (error == http::error::body_limit) {
      return Fail(413, absl::StrCat("the body is larger than ", kMaxHttpBodyBytes, " bytes"));
    }
    if (error == http::error::need_more) return Outcome::kNeedsMore;
    if (error) return Fail(400, absl::StrCat("not an HTTP request: ", error.message()));
    if (parser.is_header_done() && !impl_->header_seen) {
      impl_->header_seen = true;
      if (parser.chunked()) return Fail(411, "chunked requests are not supported");
      const bool expects =
          beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done();
      if (expects && buffer_.empty()) return Outcome::kNeedsContinue;
    }
  }
  return Outcome::kRequest;
}

HttpRequest HttpRequestParser::TakeRequest() {
  CHECK(impl_->parser.is_done());
  auto message = impl_->parser.release();
  HttpRequest request = {.method = ToString(message.method_string()),
                         .target = ToString(message.target()),
                         .body = std::move(message.body()),
                         .keep_alive = message.keep_alive()};
  impl_ = std::make_unique<Impl>();
  return request;
}

HttpResponse ErrorResponse(int status, absl::string_view message) {
  const std::string text(message.data(), message.size());
  return {.status = status, .body = PrintJson(JsonValue{JsonArray{JsonValue{text}}}, 0)};
}

std::string SerializeHttpResponse(const HttpResponse& response, bool keep_alive) {
  http::response<http::string_body> message(static_cast<http::status>(response.status), 11);
  message.set(http::field::server, "vmm");
  if (!response.body.empty()) message.set(http::field::content_type, "application/json");
  message.keep_alive(keep_alive);
  // The status of a 204 already says that there is no body. [RFC 9110 §8.6]
  if (response.status != 204) message.content_length(response.body.size());
  message.body() = response.body;

  std::string bytes;
  http::response_serializer<http::string_body> serializer(message);
  while (!serializer.is_done()) {
    beast::error_code error;
    size_t taken = 0;
    serializer.next(error, [&](beast::error_code&, const auto& buffers) {
      for (const auto& buffer : beast::buffers_range_ref(buffers)) {
        bytes.append(static_cast<const char*>(buffer.data()), buffer.size());
        taken += buffer.size();
      }
    });
    CHECK(!error);  // copying from memory to memory cannot fail
    serializer.consume(taken);
  }
  return bytes;
}

}  // namespace vmm
