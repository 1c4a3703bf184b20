# frozen_string_literal: true

require 'tmpdir'
require_relative '../../ci/release.d/compile'

# The compile step itself, with packages that only look around. Real ones are in compile_spec.rb.
RSpec.describe 'ci/compile' do
  let(:root) { Dir.mktmpdir('release-', '/var/tmp') }
  let(:lines) { [] }

  before do
    package('tool', "install -D /dev/stdin \"$BOSH_INSTALL_TARGET/bin/tool\" <<<'#!/bin/sh\necho a tool'\nchmod +x \"$BOSH_INSTALL_TARGET/bin/tool\"")
    package('stranger', 'touch "$BOSH_INSTALL_TARGET/stranger"')
  end

  after { FileUtils.rm_rf(root) }

  def package(name, packaging, dependencies: [], files: { "#{name}/file" => 'text' })
    files.each { |path, text| write("src/#{path}", text) }
    FileUtils.mkdir_p(File.join(root, 'blobs'))
    write("packages/#{name}/packaging", "set -eu\n#{packaging}\n")
    write("packages/#{name}/spec", { 'name' => name, 'dependencies' => dependencies, 'files' => files.keys }.to_yaml)
  end

  def write(path, text)
    FileUtils.mkdir_p(File.dirname(File.join(root, path)))
    File.write(File.join(root, path), text)
  end

  def step(name) = Release::Compile.new(Release::Package.new(name, root), cache: File.join(root, 'cache'), progress: ->(line) { lines << line })
  def product(name, file) = File.read(File.join(step(name).call, file))

  it 'runs the script as bosh-agent does: by bash -x, in the compile directory, with its four variables' do
    package('look', <<~'SH')
      env | sort >"$BOSH_INSTALL_TARGET/env"
      pwd >"$BOSH_INSTALL_TARGET/pwd"
      find . -type f | sort >"$BOSH_INSTALL_TARGET/files"
      echo "$-" >"$BOSH_INSTALL_TARGET/flags"
    SH
    expect(product('look', 'env').lines(chomp: true)).to include(
      'BOSH_COMPILE_TARGET=/var/vcap/data/compile/look', 'BOSH_INSTALL_TARGET=/var/vcap/packages/look', 'BOSH_PACKAGE_NAME=look',
      "BOSH_PACKAGE_VERSION=#{Release::Package.new('look', root).fingerprint}", 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'
    )
    expect(product('look', 'env')).not_to match(/^(HOME|CARGO\w*|GEM\w*|RUBY\w*)=/)
    expect(product('look', 'pwd')).to eq("/var/vcap/data/compile/look\n")
    expect(product('look', 'files')).to eq("./look/file\n./packaging\n")
    expect(product('look', 'flags')).to include('x')
  end

  it 'gives it no network' do
    package('look', 'ip -brief link >"$BOSH_INSTALL_TARGET/link"; if (exec 3<>/dev/tcp/127.0.0.1/9) 2>"$BOSH_INSTALL_TARGET/error"; then exit 1; fi')
    expect(product('look', 'link')).to match(/\Alo\s+DOWN/)
    expect(product('look', 'link').lines.size).to eq(1)
    expect(product('look', 'error')).to include('unreachable')
  end

  it 'gives it the declared dependencies, which it cannot change, and no other package' do
    package('look', <<~'SH', dependencies: ['tool'])
      ls /var/vcap/packages >"$BOSH_INSTALL_TARGET/packages"
      /var/vcap/packages/tool/bin/tool >"$BOSH_INSTALL_TARGET/said"
      if touch /var/vcap/packages/tool/mine; then exit 1; fi
    SH
    step('stranger').call
    expect(product('look', 'packages')).to eq("look\ntool\n")
    expect(product('look', 'said')).to eq("a tool\n")
  end

  it 'gives it nothing that only this machine has' do
    package('look', 'ls -A /root /usr/local /home >"$BOSH_INSTALL_TARGET/found"')
    expect(product('look', 'found').scan(/^[^:\n]+$/)).to eq([])
  end

  it 'compiles once, and again when the package or what it depends on has changed' do
    package('look', ': nothing', dependencies: ['tool'])
    2.times { step('look').call }
    expect(lines.grep(/^compiled/).map { |l| l[/\w+ \w+/] }).to eq(['compiled tool', 'compiled look'])
    write('src/tool/file', 'other text')
    step('look').call
    expect(lines.grep(/^compiled/).size).to eq(4)
  end

  it 'keeps nothing of a script that failed, and shows the end of what it said' do
    package('look', "touch \"$BOSH_INSTALL_TARGET/half\"\necho 'the compiler is out of order' >&2\nexit 7")
    2.times do
      expect { step('look').call }.to raise_error(Release::Failed, /package look does not compile; the end of .*the compiler is out of order/m)
    end
    expect(step('look')).not_to be_compiled
    expect(Dir.children(File.join(root, 'cache')).grep(/\Alook-/)).to eq([])
  end

  it 'refuses a package whose files are not there' do
    package('look', ': nothing')
    FileUtils.rm(File.join(root, 'src/look/file'))
    expect { step('look').call }.to raise_error(Release::Failed, %r{package look: nothing matches look/file})
  end

  it 'says that it cannot compile what `bosh vendor-package` has put in a package\'s place' do
    package('look', ': nothing', dependencies: ['tool'])
    FileUtils.rm_rf(File.join(root, 'packages/tool'))
    write('packages/tool/spec.lock', { 'name' => 'tool', 'fingerprint' => 'abc' }.to_yaml)
    expect { step('look').call }.to raise_error(Release::Failed, /package tool is vendored/)
  end
end
