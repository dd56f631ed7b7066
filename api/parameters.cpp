#include "api/parameters.hpp"

#include <charconv>

#include "runtime/nearest.hpp"

namespace weir {

Parameters::Parameters(const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!word.starts_with("--") || word.size() == 2) {
      fail("argument '" + word + "' of the job is no option; options begin with --" +
           (word.starts_with('-') ? ", and those of `weir run` stand before the job" : ""));
      continue;
    }
    const auto equals = word.find('=');
    if (equals != std::string::npos) {
      values_[word.substr(2, equals - 2)].push_back(word.substr(equals + 1));
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      values_[word.substr(2)].push_back(arguments[++i]);
    } else {
      values_[word.substr(2)].emplace_back();
    }
  }
}

const std::vector<std::string>* Parameters::find(const std::string& name) {
  read_.insert(name);
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::string Parameters::required(const std::string& name) {
  const auto* values = find(name);
  if (values == nullptr || values->back().empty()) {
    fail("the job needs --" + name + " VALUE");
    return {};
  }
  if (values->size() > 1) fail("--" + name + " is given more than once; give it once");
  return values->back();
}

std::string Parameters::get(const std::string& name, const std::string& otherwise) {
  return find(name) == nullptr ? otherwise : required(name);
}

std::uint64_t Parameters::number(const std::string& name, std::uint64_t otherwise) {
  if (find(name) == nullptr) return otherwise;
  const std::string text = required(name);
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) {
    fail("--" + name + " is '" + text + "'; give a whole number of at least 0");
    return otherwise;
  }
  return value;
}

std::vector<std::string> Parameters::all(const std::string& name) {
  const auto* values = find(name);
  if (values == nullptr) {
    fail("the job needs --" + name + " VALUE");
    return {};
  }
  for (const std::string& value : *values)
    if (value.empty()) fail("--" + name + " stands without a value");
  return *values;
}

bool Parameters::flag(const std::string& name) {
  const auto* values = find(name);
  if (values == nullptr) return false;
  if (!values->back().empty())
    fail("--" + name + " takes no value, but '" + values->back() + "' follows it");
  return true;
}

void Parameters::fail(std::string what) {
  if (!error_) error_ = std::move(what);
}

Status Parameters::check() const {
  std::vector<std::string> options;
  for (const std::string& one : read_) options.push_back("--" + one);
  const std::vector<std::string_view> known(options.begin(), options.end());
  std::string all;
  for (const std::string& one : options) all += (all.empty() ? "" : ", ") + one;
  std::optional<std::string> unread;
  for (const auto& [name, values] : values_) {
    if (read_.contains(name)) continue;
    const std::string option = "--" + name;
    const std::string what =
        "the job does not know the option '" + option + "'" +
        did_you_mean(option, known, all.empty() ? "it takes none" : "its options are " + all);
    // A misspelt option is why another one is missing.
    if (!known.empty() && is_slip(option, nearest(option, known)))
      return error(Errc::invalid_argument, what);
    if (!unread) unread = what;
  }
  if (error_) return error(Errc::invalid_argument, *error_);
  if (unread) return error(Errc::invalid_argument, *unread);
  return {};
}

}  // namespace weir
