#include "vmm/api/http_message.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

using Outcome = HttpRequestParser::Outcome;
using testing::HasSubstr;

HttpRequest ParseOne(absl::string_view bytes) {
  HttpRequestParser parser;
  parser.Append(bytes);
  EXPECT_EQ(parser.Parse(), Outcome::kRequest);
  return parser.TakeRequest();
}

// Returns the status with which `bytes` are refused, or 0 if they are not.
int Refused(absl::string_view bytes) {
  HttpRequestParser parser;
  parser.Append(bytes);
  if (parser.Parse() != Outcome::kError) return 0;
  EXPECT_EQ(parser.Parse(), Outcome::kError) << "stays refused";
  EXPECT_THAT(parser.error().body, testing::StartsWith("[\""));
  return parser.error().status;
}

TEST(HttpRequestParser, TakesMethodTargetAndBody) {
  const HttpRequest get = ParseOne("GET /api/v1/vm.info HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(get.method, "GET");
  EXPECT_EQ(get.target, "/api/v1/vm.info");
  EXPECT_EQ(get.body, "");
  EXPECT_TRUE(get.keep_alive);
  const HttpRequest put = ParseOne("PUT /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(put.method, "PUT");
  EXPECT_EQ(put.body, "hello");
}

TEST(HttpRequestParser, SaysWhetherTheConnectionStaysOpen) {
  EXPECT_FALSE(ParseOne("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").keep_alive);
  EXPECT_FALSE(ParseOne("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(ParseOne("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST(HttpRequestParser, TakesARequestByteByByte) {
  const std::string bytes = "PUT /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
  HttpRequestParser parser;
  EXPECT_TRUE(parser.empty());
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(parser.Parse(), Outcome::kNeedsMore);
    parser.Append(bytes.substr(i, 1));
    EXPECT_FALSE(parser.empty());
  }
  EXPECT_EQ(parser.Parse(), Outcome::kRequest);
  EXPECT_EQ(parser.TakeRequest().body, "hello");
  EXPECT_TRUE(parser.empty());
}

TEST(HttpRequestParser, SplitsPipelinedRequests) {
  HttpRequestParser parser;
  parser.Append("GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /3 HT");
  std::vector<std::string> targets;
  while (parser.Parse() == Outcome::kRequest) targets.push_back(parser.TakeRequest().target);
  parser.Append("TP/1.1\r\n\r\n");
  while (parser.Parse() == Outcome::kRequest) targets.push_back(parser.TakeRequest().target);
  EXPECT_THAT(targets, testing::ElementsAre("/1", "/2", "/3"));
  EXPECT_TRUE(parser.empty());
}

TEST(HttpRequestParser, AsksToContinueOnce) {
  HttpRequestParser parser;
  parser.Append("PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(parser.Parse(), Outcome::kNeedsContinue);
  EXPECT_EQ(parser.Parse(), Outcome::kNeedsMore);
  parser.Append("ab");
  EXPECT_EQ(parser.Parse(), Outcome::kRequest);
  EXPECT_EQ(parser.TakeRequest().body, "ab");
}

TEST(HttpRequestParser, RefusesGarbage) {
  EXPECT_EQ(Refused("\x16\x03\x01\x02garbage\r\n\r\n"), 400);
  EXPECT_EQ(Refused(std::string(100, '\0') + "\r\n\r\n"), 400);
  EXPECT_EQ(Refused("GET  / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(Refused("GET / HTTP/3.0\r\n\r\n"), 400);
  EXPECT_EQ(Refused("GET / HTTP/1.1\r\nno colon\r\n\r\n"), 400);
  EXPECT_EQ(Refused("GET /\x01 HTTP/1.1\r\n\r\n"), 400);
}

TEST(HttpRequestParser, RefusesAmbiguousLengths) {
  EXPECT_EQ(Refused("PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), 400);
  EXPECT_EQ(Refused("PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(Refused("PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
  EXPECT_EQ(Refused("PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"), 400);
  EXPECT_EQ(Refused("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411);
  EXPECT_NE(Refused("PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            0);
}

TEST(HttpRequestParser, LimitsTheHeader) {
  const std::string start = "GET / HTTP/1.1\r\nX: ";
  const std::string end = "\r\n\r\n";
  const size_t room = kMaxHttpHeaderBytes - start.size() - end.size();
  EXPECT_EQ(Refused(start + std::string(room - 8, 'x') + end), 0);
  EXPECT_EQ(Refused(start + std::string(room + 8, 'x') + end), 431);
  EXPECT_EQ(
      Refused("GET /" + std::string(6000, 'x') + " HTTP/1.1\r\nX: " + std::string(6000, 'x') + end),
      431);
  EXPECT_EQ(Refused(start + std::string(1 << 20, 'x')), 431)
      << "the parser must not wait for the end of the header";
  EXPECT_EQ(Refused(std::string(1 << 20, 'G')), 431);
}

TEST(HttpRequestParser, LimitsTheBody) {
  const auto put = [](size_t length) {
    return "PUT / HTTP/1.1\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
  };
  EXPECT_EQ(ParseOne(put(kMaxHttpBodyBytes) + std::string(kMaxHttpBodyBytes, 'b')).body.size(),
            kMaxHttpBodyBytes);
  EXPECT_EQ(Refused(put(kMaxHttpBodyBytes + 1)), 413);
}

TEST(HttpResponse, NoContentHasNoBodyAndNoLength) {
  const std::string bytes = SerializeHttpResponse({}, true);
  EXPECT_THAT(bytes, testing::StartsWith("HTTP/1.1 204 No Content\r\n"));
  EXPECT_THAT(bytes, testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(bytes, testing::Not(HasSubstr("Content-")));
}

TEST(HttpResponse, CarriesJsonWithItsLength) {
  const std::string bytes = SerializeHttpResponse({.status = 200, .body = "{}"}, false);
  EXPECT_THAT(bytes, testing::StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(bytes, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(bytes, HasSubstr("Content-Length: 2\r\n"));
  EXPECT_THAT(bytes, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(bytes, testing::EndsWith("\r\n\r\n{}"));
}

TEST(HttpResponse, ErrorsAreArraysOfStrings) {
  EXPECT_EQ(ErrorResponse(400, "a \"b\"\n").body, "[\"a \\\"b\\\"\\n\"]");
  EXPECT_EQ(ErrorResponse(400, "x").status, 400);
  EXPECT_EQ(ErrorResponse(404, "\xff").body, "[\"\xef\xbf\xbd\"]")
      << "the client's text may not be UTF-8";
}

}  // namespace
}  // namespace vmm
