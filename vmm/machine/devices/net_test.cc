#include "vmm/machine/devices/net.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmm {
namespace {

using ::testing::ElementsAre;

TEST(PasstArgumentsTest, WithoutForwardsNoPortIsOpen) {
  EXPECT_THAT(PasstArguments({}), ElementsAre("--tcp-ports", "none", "--udp-ports", "none"));
}

// Without --udp-ports, passt would forward the UDP ports of the same numbers.
TEST(PasstArgumentsTest, EveryForwardIsAnOptionOfItsProtocol) {
  PasstConfig config;
  config.forward = {{.host_port = 8080, .guest_port = 80},
                    {.host_address = "0.0.0.0", .host_port = 8443, .guest_port = 443}};
  EXPECT_THAT(PasstArguments(config), ElementsAre("--tcp-ports", "127.0.0.1/8080:80", "--tcp-ports",
                                                  "0.0.0.0/8443:443", "--udp-ports", "none"));
  config.forward.push_back({.proto = ForwardProtocol::kUdp,
                            .host_address = "0.0.0.0",
                            .host_port = 53,
                            .guest_port = 5353});
  EXPECT_THAT(PasstArguments(config),
              ElementsAre("--tcp-ports", "127.0.0.1/8080:80", "--tcp-ports", "0.0.0.0/8443:443",
                          "--udp-ports", "0.0.0.0/53:5353"));
}

}  // namespace
}  // namespace vmm
