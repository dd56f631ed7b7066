#include "cli/surroundings.hpp"

#include <cstdio>
#include <cstdlib>

#include <boost/filesystem.hpp>

#include "cli/configuration_file.hpp"
#include "cli/job_output.hpp"
#include "cli/text.hpp"
#include "storage/uri.hpp"

namespace weir {
namespace {

int exit_code_of(const Error& error) {
  return error.code == Errc::invalid_argument ? usage_exit_code : failure_exit_code;
}

}  // namespace

int report(const Error& error, int exit_code) {
  std::fprintf(stderr, "weir: %s\n", printable(error.what).c_str());
  return exit_code;
}

int report(const Error& error) { return report(error, exit_code_of(error)); }

int answer_with(const Error& error, int exit_code, const CommonOptions& common) {
  if (common.json) {
    std::fputs(error_json(error).c_str(), stdout);
    std::fflush(stdout);
  }
  return report(error, exit_code);
}

int answer_with(const Error& error, const CommonOptions& common) {
  return answer_with(error, exit_code_of(error), common);
}

void warn(const std::string& what) { tell("warning: " + what); }

void tell(const std::string& what) { std::fprintf(stderr, "weir: %s\n", printable(what).c_str()); }

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::string current_directory() {
  boost::system::error_code failed;
  const auto path = boost::filesystem::current_path(failed);
  return failed ? "/" : path.string();
}

Result<Configuration> load_settings_file(FileSystem& files, const CommonOptions& common) {
  ConfigurationSearch search;
  search.file = common.configuration_file;
  search.directory = environment_variable("WEIR_CONF_DIR");
  search.working_directory = current_directory();
  return load_configuration(files, search);
}

Status resolve_settings(Configuration& configuration) {
  return configuration.resolve_directories(
      [here = current_directory()](std::string_view text) { return parse_path(text, here); });
}

Result<Configuration> load_settings(FileSystem& files, const CommonOptions& common) {
  WEIR_TRY_ASSIGN(configuration, load_settings_file(files, common));
  configuration.merge(common.settings);
  WEIR_TRY(resolve_settings(configuration));
  WEIR_TRY(configuration.check_before_job(common.settings));
  return configuration;
}

std::string temporary_base(const Configuration& configuration) {
  const std::string& configured = configuration.directories().temporary;
  return configured.empty() ? environment_variable("TMPDIR").value_or("/tmp") : configured;
}

}  // namespace weir
