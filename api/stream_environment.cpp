#include "api/stream_environment.hpp"

#include "connectors/standard_input_source.hpp"
#include "connectors/text_source.hpp"
#include "runtime/configuration.hpp"

namespace weir {

StreamEnvironment::StreamEnvironment(const std::vector<std::string>& arguments,
                                     std::uint32_t parallelism, std::string working_directory)
    : parameters_(arguments), builder_(std::move(working_directory)), parallelism_(parallelism) {}

void StreamEnvironment::configure(const std::string& key, const std::string& value) {
  Configuration one;
  Status set = one.set(key, value, "env.configure");
  if (set && is_process_key(key))
    set = error(Errc::invalid_argument,
                "env.configure: '" + key +
                    "' is a setting of the process, not of a job; set it in weir.yaml or with -D");
  if (!set && !settings_error_) settings_error_ = set.error();
  if (!set) return;
  for (const auto& [canonical, text] : one.as_map()) settings_.insert_or_assign(canonical, text);
}

DataStream<std::string> StreamEnvironment::read_text(const std::vector<std::string>& paths,
                                                     double lines_per_second) {
  TextSourceOptions options;
  for (const std::string& path : paths) options.paths.push_back(builder_.absolute(path));
  options.lines_per_second = rate_of(lines_per_second);
  return add_source<std::string>(
      "text files", [options] { return std::make_unique<TextSource>(options); },
      [paths = options.paths](FileSystem& files) -> Status {
        WEIR_TRY(input_splits(files, paths, default_split_bytes));
        return {};
      });
}

DataStream<std::string> StreamEnvironment::read_standard_input(double lines_per_second) {
  auto stream = add_source<std::string>("standard input", [rate = rate_of(lines_per_second)] {
    return std::make_unique<StandardInputSource>(rate);
  });
  stream.set_parallelism(1);
  return stream;
}

Status StreamEnvironment::check_arguments() const {
  WEIR_TRY(parameters_.check());
  return builder_.check_paths();
}

Result<Plan> StreamEnvironment::build() const {
  WEIR_TRY(check_arguments());
  if (settings_error_) return std::unexpected(*settings_error_);
  return builder_.build(parallelism_, max_parallelism_);
}

}  // namespace weir
