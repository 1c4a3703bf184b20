# frozen_string_literal: true

require 'json'
require 'open3'
require_relative 'blobs'

module Release
  # Under which licence everything is that a release brings: the archives, and the crates.
  module Licences
    DOCUMENT = 'docs/licences.md'
    PLATFORM = 'x86_64-unknown-linux-gnu'
    # Licences under which a crate may be linked into programs under Apache-2.0.
    ACCEPTED = ['0BSD', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'BSD-2-Clause', 'BSD-3-Clause', 'BSL-1.0', 'CC0-1.0',
                'CDLA-Permissive-2.0', 'ISC', 'MIT', 'MPL-2.0', 'Unicode-3.0', 'Unlicense', 'Zlib'].freeze

    # Crates that name a file in place of a licence; read, and said here.
    BY_FILE = { 'webpki 0.22.4' => 'ISC' }.freeze

    module_function

    def document(root = ROOT)
      shipped, needed = Blob.upstream(root).partition { |_, said| said['shipped'] }
      linked = linked(root)
      <<~MARKDOWN
        # Licences

        What this project itself consists of is under the Apache License 2.0 (`LICENSE`). A release also holds the sources
        of the following, and what is compiled from them. Each archive has its licence's text in it; the compiled packages
        keep it in `doc` or beside the programs. `ci/vendor` writes this page.

        ## Compiled into packages

        #{archives(shipped)}

        ## Only used to compile

        #{archives(needed)}

        ## Crates

        All are in `blobs/#{Crates::BLOB}`. Those with a mark are part of our executables; the others are for tests, for
        building, or for other systems, and Cargo wants to see them nevertheless.

        | crate | version | licence | in the executables |
        |---|---|---|---|
        #{crates(root).map { |c| row(c['name'], c['version'], c['license'], ('yes' if linked.include?(c['id']))) }.join("\n")}
      MARKDOWN
    end

    def archives(list)
      rows = list.map { |path, said| row(said['name'], said['version'], said['licence'], path.split('/').first, said['note']) }
      ['| what | version | licence | package | |', '|---|---|---|---|---|', *rows].join("\n")
    end

    def row(*cells) = "|#{cells.map { |cell| cell ? " #{cell} |" : ' |' }.join}"

    def crates(root = ROOT)
      found = metadata(root)['packages'].select { |p| p['source'] }.sort_by { |p| [p['name'], p['version']] }
      found.map { |p| { 'license' => BY_FILE["#{p['name']} #{p['version']}"] }.merge(p.compact) }
    end

    # What the executables are linked from on this platform: normal dependencies, and theirs. A procedural macro and
    # what that needs run in the compiler only.
    def linked(root = ROOT)
      found = metadata(root, '--filter-platform', PLATFORM)
      macros = found['packages'].select { |p| p['targets'].any? { |t| t['kind'].include?('proc-macro') } }.map { |p| p['id'] }
      needs = found['resolve']['nodes'].to_h do |node|
        [node['id'], node['deps'].select { |d| d['dep_kinds'].any? { |k| k['kind'].nil? } }.map { |d| d['pkg'] } - macros]
      end
      waiting = found['workspace_members'].dup
      waiting.each { |id| waiting.concat(needs.fetch(id) - waiting) }
      waiting - found['workspace_members']
    end

    # 'MIT OR (Apache-2.0 AND ISC)': whether there is a choice that is accepted.
    def accepted?(expression)
      text = expression.tr('/', '|').gsub(/\bOR\b/, '|')
      text = text.sub(/\(([^()]*)\)/) { any?(Regexp.last_match(1)) ? 'MIT' : 'no' } while text.include?('(')
      any?(text)
    end

    def any?(text) = text.split('|').any? { |all| all.split(/\bAND\b/).all? { |one| ACCEPTED.include?(one.strip) } }

    def metadata(root, *options)
      out, err, status = Open3.capture3('cargo', 'metadata', '--locked', '--format-version', '1', *options, chdir: root)
      raise Failed, "cargo could not say which crates there are: #{err.strip}" unless status.success?
      JSON.parse(out)
    end
  end
end
