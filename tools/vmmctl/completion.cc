#include "tools/vmmctl/completion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tools/vmmctl/commands.h"

namespace vmmctl {
namespace {

// Returns `text` as one word of a shell.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// The same for fish, which knows \' inside quotes.
std::string FishQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string Bash() {
  std::string words;
  for (const Command& command : Commands()) absl::StrAppend(&words, command.name, " ");
  for (const Option& option : Options()) absl::StrAppend(&words, option.name, " ");
  return absl::StrCat(
      "_vmmctl() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  case $before in\n"
      "    --api-socket) COMPREPLY=($(compgen -f -- \"$word\")); return;;\n"
      "    --completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\")); return;;\n"
      "    --timeout) return;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W ",
      Quoted(words), " -- \"$word\"))\n}\ncomplete -o filenames -F _vmmctl vmmctl\n");
}

std::string Zsh() {
  std::string text = "#compdef vmmctl\nlocal -a commands\ncommands=(\n";
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "  ", Quoted(absl::StrCat(command.name, ":", command.help)), "\n");
  }
  return absl::StrCat(text,
                      ")\n_arguments '--api-socket[control socket]:path:_files' "
                      "'--timeout[seconds]:seconds:' '--completion[shell]:shell:(bash zsh fish)' "
                      "'--help[print help]' '1:command:{_describe command commands}'\n");
}

std::string Fish() {
  std::string text = "complete -c vmmctl -f\n";
  for (const Option& option : Options()) {
    absl::StrAppend(&text, "complete -c vmmctl -l ", option.name + 2,
                    *option.value != '\0' ? " -r" : "",
                    absl::string_view(option.value) == "PATH" ? " -F" : "", " -d ",
                    FishQuoted(option.help), "\n");
  }
  for (const Command& command : Commands()) {
    absl::StrAppend(&text, "complete -c vmmctl -n __fish_use_subcommand -a ", command.name, " -d ",
                    FishQuoted(command.help), "\n");
  }
  return text;
}

}  // namespace

std::string Completion(absl::string_view shell) {
  return shell == "bash" ? Bash() : shell == "zsh" ? Zsh() : Fish();
}

}  // namespace vmmctl
