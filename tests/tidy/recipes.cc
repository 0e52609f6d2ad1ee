// SPDX-License-Identifier: Apache-2.0
#include "recipes.h"

#include <algorithm>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace nearcall::tidy {

namespace {

constexpr char kProject[] = "CMakeLists.txt";
constexpr char kDependencies[] = "cmake/NearcallDependencies.cmake";
constexpr char kDebian[] = "debian/control";
constexpr char kDebianRules[] = "debian/rules";
constexpr char kVcpkg[] = "packaging/vcpkg/nearcall/vcpkg.json";
constexpr char kVcpkgRules[] = "packaging/vcpkg/nearcall/portfile.cmake";
constexpr char kConan[] = "packaging/conan/conanfile.py";

// Of which library we build on each names a package, and how.
struct Dependency {
  const char* cmake;
  std::vector<const char*> debian;
  const char* vcpkg;
  const char* conan;
};

const std::vector<Dependency>& Dependencies() {
  static const std::vector<Dependency> dependencies = {
      {"Protocol Buffers",
       {" libprotobuf-dev", " libprotoc-dev,", " protobuf-compiler,"},
       "\"protobuf\"",
       "self.requires(\"protobuf/"},
      {"Abseil", {" libabsl-dev,"}, "\"abseil\"", "self.requires(\"abseil/"},
  };
  return dependencies;
}

class Recipes {
 public:
  explicit Recipes(const std::vector<SourceFile>& files) : files_(files) {}

  Problems Check() {
    CheckVersion();
    CheckOptions();
    CheckDependencies();
    CheckAddresses();
    return problems_;
  }

 private:
  // A file that is missing has nothing that it must have.
  const std::string& Text(const std::string& path) const {
    static const std::string none;
    for (const SourceFile& file : files_) {
      if (file.path == path) return file.text;
    }
    return none;
  }

  void Need(const std::string& path, const std::string& what) {
    if (!absl::StrContains(Text(path), what)) problems_.push_back(absl::StrCat(path, ":1: does not say ", what));
  }

  void CheckVersion() {
    std::smatch match;
    static const std::regex version(R"(project\(nearcall VERSION ((\d+\.\d+)\.\d+))");
    if (!std::regex_search(Text(kProject), match, version)) {
      problems_.push_back(absl::StrCat(kProject, ":1: has no version"));
      return;
    }
    const std::string all = match[1];
    const std::string soname = match[2];
    Need(kVcpkg, absl::StrCat("\"version\": \"", all, "\""));
    Need("debian/changelog", absl::StrCat("nearcall (", all, ") "));
    Need(kDebian, absl::StrCat("Package: libnearcall", soname, "\n"));
    Need(absl::StrCat("debian/libnearcall", soname, ".install"), "libnearcall.so.*");
    Need("protoc-plugin/protoc-gen-nearcall.1", absl::StrCat("\"Nearcall ", soname, "\""));
    Need(kConan, "project\\(nearcall VERSION");  // reads it there
  }

  void CheckOptions() {
    static const std::regex declared(R"((?:option|set)\((NEARCALL_\w+))");
    static const std::regex used(R"(NEARCALL_[A-Z_]+)");
    std::set<std::string> known;
    const std::string& project = Text(kProject);
    for (std::sregex_iterator at(project.begin(), project.end(), declared), end; at != end; ++at)
      known.insert((*at)[1]);
    for (const char* path : {kDebianRules, kVcpkgRules, kConan}) {
      // What users do not need, and which library they link, is said by each.
      for (const char* option : {"NEARCALL_BUILD_TESTS", "NEARCALL_BUILD_EXAMPLES", "NEARCALL_SHARED"}) {
        Need(path, option);
      }
      const std::string& text = Text(path);
      for (std::sregex_iterator at(text.begin(), text.end(), used), end; at != end; ++at) {
        if (!known.contains(at->str())) {
          problems_.push_back(absl::StrCat(path, ":1: ", kProject, " has no option ", at->str()));
        }
      }
    }
  }

  void CheckDependencies() {
    for (const Dependency& dependency : Dependencies()) {
      Need(kDependencies, absl::StrCat("needs ", dependency.cmake));
      for (const char* package : dependency.debian) Need(kDebian, package);
      Need(kVcpkg, dependency.vcpkg);
      Need(kConan, dependency.conan);
    }
    static const std::regex needed(R"(nearcall needs (Protocol Buffers|\w+))");
    const std::string& text = Text(kDependencies);
    for (std::sregex_iterator at(text.begin(), text.end(), needed), end; at != end; ++at) {
      const std::string name = (*at)[1];
      const bool known = std::any_of(Dependencies().begin(), Dependencies().end(),
                                     [&](const Dependency& dependency) { return dependency.cmake == name; });
      if (!known) problems_.push_back(absl::StrCat(kDependencies, ":1: needs ", name, ", which no recipe brings"));
    }
  }

  void CheckAddresses() {
    for (const SourceFile& file : files_) {
      if (!file.IsUnder("packaging/")) continue;
      size_t number = 0;
      for (const std::string& line : file.Lines()) {
        ++number;
        if (absl::StrContains(line, "://")) {
          problems_.push_back(absl::StrCat(file.path, ":", number, ": an address; the sources are those beside it"));
        }
      }
    }
  }

  const std::vector<SourceFile>& files_;
  Problems problems_;
};

}  // namespace

Problems RecipesAgree(const std::vector<SourceFile>& files) {
  return Recipes(files).Check();
}

}  // namespace nearcall::tidy
