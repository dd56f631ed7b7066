#include "cli/configuration_file.hpp"

#include <map>
#include <set>

#include <yaml-cpp/yaml.h>

namespace weir {

namespace {

/// Deeper than any key; also the end of a mapping that contains itself through an anchor.
constexpr int max_depth = 16;

/// `path:line:column`, counted from 1 as editors do.
std::string place_of(const std::string& path, const YAML::Mark& mark) {
  if (mark.is_null()) return path;
  return path + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
}

/// Carries the settings of one file over into a `Configuration`.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  /// Reads a mapping whose keys continue `prefix` (empty, or ending in a dot).
  Status read(const YAML::Node& mapping, const std::string& prefix, int depth) {
    if (depth > max_depth) return refuse(mapping, "mappings are nested too deeply");
    std::set<std::string> names;
    for (const auto& pair : mapping) {
      if (!pair.first.IsScalar()) return refuse(pair.first, "a key must be a word");
      const std::string& name = pair.first.Scalar();
      const std::string key = prefix + name;
      if (!names.insert(name).second)
        return refuse(pair.first, "'" + key + "' stands twice; remove one of the two");
      const bool nested = pair.second.IsMap() && pair.second.size() > 0;
      WEIR_TRY(nested ? read(pair.second, key + ".", depth + 1)
                      : read_value(pair.first, key, pair.second));
    }
    return {};
  }

  Configuration take() { return std::move(configuration_); }

 private:
  Status read_value(const YAML::Node& at, const std::string& key, const YAML::Node& value) {
    if (value.IsSequence()) return refuse(value, "'" + key + "' has a list; write one value");
    if (!value.IsScalar())
      return refuse(at, "'" + key + "' has no value; write one or remove the line");
    const std::string place = place_of(path_, at.Mark());
    WEIR_TRY(configuration_.set(key, value.Scalar(), place));
    const auto [earlier, added] = places_.emplace(*canonical_key(key), place);
    if (!added)
      return refuse(at, "'" + key + "' stands twice, here and at " + earlier->second +
                            "; remove one of the two");
    return {};
  }

  Status refuse(const YAML::Node& node, const std::string& why) {
    return error(Errc::invalid_argument, place_of(path_, node.Mark()) + ": " + why);
  }

  const std::string& path_;
  std::map<std::string_view, std::string> places_;  ///< where each key was set
  Configuration configuration_;
};

std::string join(const std::string& directory, const std::string& path) {
  return path.starts_with('/') ? path : directory + "/" + path;
}

Result<Configuration> read_configuration(FileSystem& files, const std::string& path) {
  WEIR_TRY_ASSIGN(yaml, read_file(files, path, max_configuration_bytes));
  return parse_configuration(yaml, path);
}

/// As above; the defaults if there is no such file.
Result<Configuration> read_if_there(FileSystem& files, const std::string& path) {
  auto configuration = read_configuration(files, path);
  if (!configuration && configuration.error().code == Errc::not_found) return Configuration();
  return configuration;
}

}  // namespace

Result<Configuration> parse_configuration(std::string_view yaml, const std::string& path) try {
  const auto documents = YAML::LoadAll(std::string(yaml));
  if (documents.empty() || (documents.size() == 1 && documents[0].IsNull())) return Configuration();
  if (documents.size() > 1)
    return error(Errc::invalid_argument, place_of(path, documents[1].Mark()) +
                                             ": a second document begins; only one is allowed");
  if (!documents[0].IsMap())
    return error(Errc::invalid_argument, place_of(path, documents[0].Mark()) +
                                             ": no settings; write lines of 'key: value'");
  Reader reader(path);
  WEIR_TRY(reader.read(documents[0], "", 1));
  return reader.take();
} catch (const YAML::Exception& failure) {
  return error(Errc::invalid_argument,
               place_of(path, failure.mark) + ": this is no YAML: " + failure.msg);
}

Result<Configuration> load_configuration(FileSystem& files, const ConfigurationSearch& search) {
  if (search.file) {
    const std::string path = join(search.working_directory, *search.file);
    if (const auto entry = files.stat(path); entry && entry->is_directory)
      return error(Errc::unsupported, "--config names '" + *search.file +
                                          "', which is a directory; name the file in it");
    auto configuration = read_configuration(files, path);
    if (!configuration && configuration.error().code == Errc::not_found)
      return error(Errc::not_found, "there is no configuration file '" + *search.file +
                                        "'; create it or leave --config out");
    return configuration;
  }
  if (!search.directory) return read_if_there(files, join(search.working_directory, "weir.yaml"));

  const std::string directory = join(search.working_directory, *search.directory);
  const auto entry = files.stat(directory);
  if (entry && entry->is_directory) return read_if_there(files, directory + "/weir.yaml");
  if (!entry && entry.error().code != Errc::not_found) return std::unexpected(entry.error());
  return error(Errc::not_found, "WEIR_CONF_DIR names '" + *search.directory +
                                    "', which is no directory; create it or unset WEIR_CONF_DIR");
}

}  // namespace weir
