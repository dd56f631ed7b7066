#include "cli/completion.hpp"

#include <vector>

#include "cli/command_line.hpp"
#include "runtime/configuration.hpp"
#include "state/result.hpp"

namespace weir {
namespace {

/// Prints the ids of running jobs, one per line.
constexpr const char* list_jobs =
    "weir list 2>/dev/null | sed -n 's/^\\([0-9a-f]\\{32\\}\\).*/\\1/p'";

/// What may stand behind -D of a verb.
std::string settings_of(std::string_view verb) {
  std::string keys;
  for (const std::string_view key : configuration_keys())
    if (verb == "run" || key.starts_with("client.")) keys += std::string(key) + "= ";
  return keys;
}

std::string bash_script() {
  std::string verbs;
  std::string cases;
  for (const VerbDescription& verb : describe_verbs()) {
    verbs += verb.name + " ";
    std::string options;
    for (const OptionName& option : verb.options) {
      if (!option.long_name.empty()) options += "--" + option.long_name + " ";
      if (!option.short_name.empty()) options += "-" + option.short_name + " ";
    }
    cases += "    " + verb.name + ")\n      options=\"" + options + "\"\n";
    if (verb.names_job) cases += std::string("      words=\"$(") + list_jobs + ")\"\n";
    if (verb.name == "completion") cases += "      words=\"bash zsh fish\"\n";
    if (verb.name == "scenario") cases += "      words=\"run new\"\n";
    cases += "      ;;\n";
  }
  const std::string keys = settings_of("run");
  return "# Completion of weir for bash: eval \"$(weir completion bash)\"\n"
         "_weir() {\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\" verb=\"${COMP_WORDS[1]}\" options= words=\n"
         "  COMPREPLY=()\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         verbs +
         "--help --version\" -- \"$current\"))\n"
         "    return\n"
         "  fi\n"
         "  if [ \"${COMP_WORDS[COMP_CWORD-1]}\" = -D ]; then\n"
         "    local keys=\"" +
         settings_of("list") +
         "\"\n"
         "    [ \"$verb\" = run ] && keys=\"" +
         keys +
         "\"\n"
         "    COMPREPLY=($(compgen -W \"$keys\" -- \"$current\"))\n"
         "    compopt -o nospace 2>/dev/null\n"
         "    return\n"
         "  fi\n"
         "  case \"$verb\" in\n" +
         cases +
         "  esac\n"
         "  case \"$current\" in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$current\")) ;;\n"
         "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$current\") $(compgen -f -- "
         "\"$current\")) ;;\n"
         "  esac\n"
         "}\n"
         "complete -o filenames -F _weir weir\n";
}

std::string zsh_script() {
  return "# Completion of weir for zsh: eval \"$(weir completion zsh)\"\n"
         "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n" +
         bash_script();
}

/// `text` as a word of fish.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

std::string fish_script() {
  std::string script =
      "# Completion of weir for fish: weir completion fish | source\n"
      "complete -c weir -n __fish_use_subcommand -l help -d 'Show the verbs'\n"
      "complete -c weir -n __fish_use_subcommand -l version -d 'Show the version'\n";
  for (const VerbDescription& verb : describe_verbs()) {
    script += "complete -c weir -f -n __fish_use_subcommand -a " + verb.name + " -d " +
              quoted(verb.description) + "\n";
    const std::string seen = "complete -c weir -n '__fish_seen_subcommand_from " + verb.name + "'";
    if (verb.names_job)
      script += seen + " -f -a " + quoted(std::string("(") + list_jobs + ")") + "\n";
    if (verb.name == "completion") script += seen + " -f -a 'bash zsh fish'\n";
    if (verb.name == "scenario") script += seen + " -a 'run new'\n";
    for (const OptionName& option : verb.options) {
      script += seen;
      if (!option.short_name.empty()) script += " -s " + option.short_name;
      if (!option.long_name.empty()) script += " -l " + option.long_name;
      if (option.takes_value) script += " -r";
      script += " -d " + quoted(option.description);
      if (option.short_name == "D") {
        script += " -a " + quoted(settings_of(verb.name));
      }
      script += "\n";
    }
  }
  return script;
}

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return bash_script();
  if (shell == "zsh") return zsh_script();
  WEIR_ASSERT(shell == "fish");
  return fish_script();
}

}  // namespace weir
