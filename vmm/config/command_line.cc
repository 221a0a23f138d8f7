#include "vmm/config/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <exception>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "vmm/config/config_override.h"
#include "vmm/config/key_path.h"
#include "vmm/config/print_config.h"
#include "vmm/exit_status.h"

namespace vmm {
namespace {

constexpr const char* kExamples = R"(
Examples:
  vmm --config vm.json                          run the machine; Ctrl-a x ends it
  vmm --config vm.json --check                  say what is wrong with the config, run nothing
  vmm --config vm.json --set memory.size=1G --set 'disks[0].readonly=true'
  vmm --config vm.json --set 'disks[1].path=/var/lib/data.raw'    add a second disk
  vmm --config vm.json --api-socket /run/vmm/web.sock --on-reboot=exit
  jq .cpus.boot_vcpus=4 vm.json | vmm --config -

A vm.json that boots:
  {"payload": {"kernel": "vmlinuz", "initramfs": "initrd.img", "cmdline": "console=hvc0"}}

Keys of vm.json (types, limits and defaults: docs/vm-json.md; relative paths start at its folder):
)";

constexpr const char* kSignals = R"(
Signals:
  SIGTERM and SIGINT press the guest's power button; a second one ends the machine at once.

Exit status (a line on stderr says more about 1, 70 and 134):
)";

std::string ExitStatusHelp() {
  std::string text;
  for (const ExitStatusMeaning& entry : kExitStatusMeanings) {
    absl::StrAppendFormat(&text, "  %-5d%s\n", static_cast<int>(entry.status), entry.meaning);
  }
  return text;
}

// The options as given. So far only their names have been checked.
struct RawOptions {
  std::string config;
  std::vector<std::string> set;
  std::string api_socket;
  std::string on_reboot = "reset";
  std::string stop_timeout = "90";
  std::string log_level = "info";
  bool stats = false;
  bool check = false;
  bool print_config = false;
  bool print_schema = false;
  bool version = false;
  bool help = false;
};

void AddOptions(CLI::App& app, RawOptions& raw) {
  // --help is an option like the others here, because the library's own ends by an exception.
  app.set_help_flag();
  app.get_formatter()->column_width(32);
  app.add_option("-c,--config", raw.config, "File that describes the machine; - is standard input")
      ->type_name("FILE");
  app.add_option("--set", raw.set,
                 "Change one key of it: memory.size=1G, disks[0].readonly=true;\n"
                 "the value is JSON or else a string. May be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->delimiter('\0');
  app.add_flag("--check", raw.check, "Check the config and exit: 0 if it is good, else 1")
      ->disable_flag_override();
  app.add_flag("--print-config", raw.print_config,
               "Print the config with all defaults, ids and PCI slots, and exit")
      ->disable_flag_override();
  app.add_option("--api-socket", raw.api_socket,
                 "Unix socket of the HTTP API: its path, or fd=N if it is inherited")
      ->type_name("PATH|fd=N");
  app.add_option("--on-reboot", raw.on_reboot,
                 "When the guest reboots: reset it in place (the default), or\n"
                 "exit with status 133")
      ->type_name("reset|exit");
  app.add_option("--stop-timeout", raw.stop_timeout,
                 "How long a guest may take to power off before its end is forced;\n"
                 "90 by default")
      ->type_name("SECONDS");
  app.add_flag("--stats", raw.stats, "Print the devices' counters on standard error at the end")
      ->disable_flag_override();
  app.add_option("--log-level", raw.log_level,
                 "Least severe messages shown: debug, info (the default),\n"
                 "warning or error")
      ->type_name("LEVEL");
  app.add_flag("--print-schema", raw.print_schema, "Print the JSON Schema of vm.json and exit")
      ->disable_flag_override();
  app.add_flag("-V,--version", raw.version, "Print the version and exit")->disable_flag_override();
  app.add_flag("-h,--help", raw.help, "Print this text and exit")->disable_flag_override();
}

absl::Status Usage(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Returns what is wrong with an argument that is no known option.
std::string DescribeUnknown(const CLI::App& app, absl::string_view argument) {
  const std::string shown = Printable(argument);
  if (!absl::StartsWith(argument, "-")) {
    return absl::StrCat("unexpected argument \"", shown, "\"; the config is given with --config");
  }
  std::vector<absl::string_view> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.emplace_back(name);
  }
  absl::string_view word = argument.substr(0, argument.find('='));
  while (absl::ConsumePrefix(&word, "-")) continue;
  const absl::string_view nearest = Nearest(word, names);
  return nearest.empty()
             ? absl::StrCat("unknown option ", shown, "; see vmm --help")
             : absl::StrCat("unknown option ", shown, ", did you mean --", nearest, "?");
}

// Runs the library and turns its exceptions into statuses.
absl::Status ParseRaw(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> unknown = app.remaining();
    return Usage(DescribeUnknown(app, unknown.empty() ? "" : unknown.front()));
  } catch (const CLI::ArgumentMismatch& error) {
    // "--NAME: 1 required TYPE missing", "--NAME: At Most 1 required but received N", or
    // "NAME was given a disallowed flag override".
    const absl::string_view what = error.what();
    if (absl::EndsWith(what, " flag override")) {
      return Usage(
          absl::StrCat("--", what.substr(0, what.find(' ')), ": takes no value; remove it"));
    }
    const absl::string_view name = what.substr(0, what.find(':'));
    return Usage(absl::EndsWith(what, " missing")
                     ? absl::StrCat(name, ": needs a value; see vmm --help")
                     : absl::StrCat(name, ": given more than once; keep one"));
  } catch (const std::exception& error) {
    return Usage(absl::StrCat(Printable(error.what(), 200), "; see vmm --help"));
  }
  return absl::OkStatus();
}

absl::Status ReadApiSocket(const std::string& text, CommandLine& result) {
  if (text.empty()) return Usage("--api-socket: must not be empty; give a path or fd=N");
  absl::string_view number = text;
  if (absl::ConsumePrefix(&number, "fd=")) {
    int fd = -1;
    if (!absl::SimpleAtoi(number, &fd) || fd < 3) {
      return Usage(absl::StrCat("--api-socket: \"", Printable(text),
                                "\" names no descriptor; write fd=N with N from 3"));
    }
    result.api_socket_fd = fd;
    return absl::OkStatus();
  }
  constexpr size_t kMaxSocketPath = 107;  // sun_path without the NUL
  if (text.size() > kMaxSocketPath) {
    return Usage(absl::StrCat("--api-socket: the path is ", text.size(),
                              " bytes long, a Unix socket's is at most 107; choose a shorter one"));
  }
  result.api_socket_path = text;
  return absl::OkStatus();
}

absl::Status ReadOnReboot(const std::string& text, CommandLine& result) {
  if (text != "reset" && text != "exit") {
    return Usage(absl::StrCat("--on-reboot: must be reset or exit, not \"", Printable(text), "\""));
  }
  result.on_reboot = text == "exit" ? CommandLine::OnReboot::kExit : CommandLine::OnReboot::kReset;
  return absl::OkStatus();
}

absl::Status ReadStopTimeout(const std::string& text, CommandLine& result) {
  constexpr uint32_t kMaxSeconds = 86400;
  if (!absl::SimpleAtoi(text, &result.stop_timeout_seconds) ||
      result.stop_timeout_seconds > kMaxSeconds) {
    return Usage(absl::StrCat("--stop-timeout: must be a number of seconds from 0 to 86400, not \"",
                              Printable(text), "\""));
  }
  return absl::OkStatus();
}

absl::Status ReadLogLevel(const std::string& text, CommandLine& result) {
  if (text == "debug") {
    result.log_level = base::LogLevel::kDebug;
  } else if (text == "info") {
    result.log_level = base::LogLevel::kInfo;
  } else if (text == "warning") {
    result.log_level = base::LogLevel::kWarning;
  } else if (text == "error") {
    result.log_level = base::LogLevel::kError;
  } else {
    return Usage(absl::StrCat("--log-level: must be debug, info, warning or error, not \"",
                              Printable(text), "\""));
  }
  return absl::OkStatus();
}

// Returns the text to print if the options ask for one instead of a machine, or nullopt.
std::optional<std::string> TextToPrint(const CLI::App& app, const RawOptions& raw) {
  if (raw.help) {
    return absl::StrCat(app.help(), kExamples, VmConfigHelp(), kSignals, ExitStatusHelp());
  }
  if (raw.version) return std::string("vmm " VMM_VERSION "\n");
  if (raw.print_schema) return VmConfigJsonSchema();
  return std::nullopt;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  RawOptions raw;
  CLI::App app("Runs one virtual machine, described by a JSON file, on KVM.", "vmm");
  AddOptions(app, raw);
  RETURN_IF_ERROR(ParseRaw(app, argc, argv));

  CommandLine result;
  if (std::optional<std::string> text = TextToPrint(app, raw)) {
    result.action = CommandLine::Action::kPrintText;
    result.text = *std::move(text);
    return result;
  }
  if (raw.config.empty())
    return Usage("--config is missing; name the file that describes the machine (see vmm --help)");
  if (raw.check && raw.print_config)
    return Usage("--check and --print-config exclude each other; keep one");
  if (raw.check) result.action = CommandLine::Action::kCheck;
  if (raw.print_config) result.action = CommandLine::Action::kPrintConfig;
  for (const std::string& assignment : raw.set) RETURN_IF_ERROR(CheckOverrideForm(assignment));
  result.config_path = std::move(raw.config);
  result.overrides = std::move(raw.set);
  result.stats = raw.stats;
  if (app.count("--api-socket") > 0) RETURN_IF_ERROR(ReadApiSocket(raw.api_socket, result));
  RETURN_IF_ERROR(ReadOnReboot(raw.on_reboot, result));
  RETURN_IF_ERROR(ReadStopTimeout(raw.stop_timeout, result));
  RETURN_IF_ERROR(ReadLogLevel(raw.log_level, result));
  return result;
}

}  // namespace vmm
