#include "vmm/config/command_line.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "vmm/config/print_config.h"

namespace vmm {
namespace {

absl::StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "vmm");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

std::string ErrorOf(std::vector<const char*> arguments) {
  return std::string(Parse(std::move(arguments)).status().message());
}

TEST(ParseCommandLine, HasDefaults) {
  const auto line = Parse({"--config", "vm.json"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->action, CommandLine::Action::kRun);
  EXPECT_EQ(line->config_path, "vm.json");
  EXPECT_TRUE(line->overrides.empty());
  EXPECT_FALSE(line->api_socket_path.has_value());
  EXPECT_FALSE(line->api_socket_fd.has_value());
  EXPECT_EQ(line->on_reboot, CommandLine::OnReboot::kReset);
  EXPECT_EQ(line->stop_timeout_seconds, 90U);
  EXPECT_EQ(line->log_level, base::LogLevel::kInfo);
  EXPECT_FALSE(line->stats);
}

TEST(ParseCommandLine, ReadsEveryOption) {
  const auto line =
      Parse({"-c", "-", "--set", "a.b=1, 2", "--set=c=d", "--api-socket", "/s", "--on-reboot=exit",
             "--stop-timeout", "5", "--log-level", "debug", "--stats"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config_path, "-");
  EXPECT_EQ(line->overrides, (std::vector<std::string>{"a.b=1, 2", "c=d"}));
  EXPECT_EQ(line->api_socket_path, "/s");
  EXPECT_EQ(line->on_reboot, CommandLine::OnReboot::kExit);
  EXPECT_EQ(line->stop_timeout_seconds, 5U);
  EXPECT_EQ(line->log_level, base::LogLevel::kDebug);
  EXPECT_TRUE(line->stats);
}

TEST(ParseCommandLine, OverridesKeepTheirSpelling) {
  for (const char* text :
       {"a=[1,2]", "a={\"b\": 1}", "a=\"x\"", "a='x'", "a=", "a[0]=-1", "", "-x=1"}) {
    const std::string joined = std::string("--set=") + text;
    const auto line = Parse({"--config", "vm.json", joined.c_str()});
    if (*text == '\0') continue;  // the library treats `--set=` as a missing value
    ASSERT_TRUE(line.ok()) << line.status();
    EXPECT_EQ(line->overrides, std::vector<std::string>{text});
  }
}

TEST(ParseCommandLine, TakesAnInheritedSocket) {
  const auto line = Parse({"--config", "vm.json", "--api-socket=fd=3"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->api_socket_fd, 3);
  EXPECT_FALSE(line->api_socket_path.has_value());
}

TEST(ParseCommandLine, ChoosesTheAction) {
  EXPECT_EQ(Parse({"--config=f", "--check"})->action, CommandLine::Action::kCheck);
  EXPECT_EQ(Parse({"--config=f", "--print-config"})->action, CommandLine::Action::kPrintConfig);
  EXPECT_EQ(Parse({"--print-schema"})->action, CommandLine::Action::kPrintText);
  EXPECT_EQ(Parse({"--print-schema"})->text, VmConfigJsonSchema());
  EXPECT_EQ(Parse({"--version"})->text, "vmm " VMM_VERSION "\n");
  EXPECT_EQ(Parse({"--config=f", "-h"})->action, CommandLine::Action::kPrintText);
}

TEST(ParseCommandLine, HelpIsTheGoldenText) {
  const std::string path = VMM_SOURCE_DIR "/tests/golden/help.txt";
  const std::string help = Parse({"--help"})->text;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << help;
  }
  std::ifstream file(path, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()),
            help)
      << "UPDATE_GOLDEN=1 rewrites " << path;
}

TEST(ParseCommandLine, HelpFitsIn100Columns) {
  const std::string help = Parse({"--help"})->text;
  for (const absl::string_view line : absl::StrSplit(help, '\n')) {
    EXPECT_LE(line.size(), 100) << line;
  }
}

TEST(ParseCommandLine, SaysWhatIsWrongOnOneLine) {
  EXPECT_EQ(ErrorOf({}),
            "--config is missing; name the file that describes the machine (see vmm --help)");
  EXPECT_EQ(ErrorOf({"vm.json"}),
            "unexpected argument \"vm.json\"; the config is given with --config");
  EXPECT_EQ(ErrorOf({"--confg", "f"}), "unknown option --confg, did you mean --config?");
  EXPECT_EQ(ErrorOf({"--kernel=f"}), "unknown option --kernel=f; see vmm --help");
  EXPECT_EQ(ErrorOf({"-x"}), "unknown option -x; see vmm --help");
  EXPECT_EQ(ErrorOf({"--\x1b[31m"}), "unknown option --\\x1b[31m; see vmm --help");
  EXPECT_EQ(ErrorOf({"--config"}), "--config: needs a value; see vmm --help");
  EXPECT_EQ(ErrorOf({"--config=a", "--config=b"}), "--config: given more than once; keep one");
  EXPECT_EQ(ErrorOf({"--config=a", "--set"}), "--set: needs a value; see vmm --help");
  EXPECT_EQ(ErrorOf({"--config=a", "--set", "b=c", "d=e"}),
            "unexpected argument \"d=e\"; the config is given with --config");
  EXPECT_EQ(ErrorOf({"--config=a", "--set", "b=c", "--set", "memory.size"}),
            "--set memory.size: write it as KEY.PATH=VALUE, such as memory.size=1G");
  EXPECT_EQ(ErrorOf({"--config=a", "--check=yes"}), "--check: takes no value; remove it");
  EXPECT_EQ(ErrorOf({"--config=a", "--check", "--print-config"}),
            "--check and --print-config exclude each other; keep one");
  EXPECT_EQ(ErrorOf({"--config=a", "--on-reboot=halt"}),
            "--on-reboot: must be reset or exit, not \"halt\"");
  EXPECT_EQ(ErrorOf({"--config=a", "--log-level=trace"}),
            "--log-level: must be debug, info, warning or error, not \"trace\"");
  for (const char* seconds : {"-1", "1.5", "90s", "86401", "4294967386", " "}) {
    EXPECT_EQ(ErrorOf({"--config=a", "--stop-timeout", seconds}),
              std::string("--stop-timeout: must be a number of seconds from 0 to 86400, not \"") +
                  seconds + "\"");
  }
  for (const char* socket : {"fd=2", "fd=", "fd=x", "fd=-1", "fd=4294967299"}) {
    EXPECT_EQ(ErrorOf({"--config=a", "--api-socket", socket}),
              std::string("--api-socket: \"") + socket +
                  "\" names no descriptor; write fd=N with N from 3");
  }
  const std::string long_path = "/" + std::string(107, 's');
  EXPECT_EQ(ErrorOf({"--config=a", "--api-socket", long_path.c_str()}),
            "--api-socket: the path is 108 bytes long, a Unix socket's is at most 107; choose a "
            "shorter one");
}

}  // namespace
}  // namespace vmm
