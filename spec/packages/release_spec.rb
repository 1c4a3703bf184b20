# frozen_string_literal: true

require 'open3'
require 'tmpdir'
require_relative '../../ci/release.d/blobs'

RSpec.describe 'ci/release' do
  def release(*arguments, env: {}) = Open3.capture3(env, File.join(RELEASE_DIR, 'ci/release'), *arguments)

  around { |example| Dir.mktmpdir { |dir| @dir = dir; example.run } }

  it 'says plainly that nothing was built where the bosh CLI is not installed, and exits with 3' do
    %w[bash dirname env].each { |name| File.symlink(Open3.capture2('which', name).first.chomp, File.join(@dir, name)) }
    out, err, status = release(File.join(@dir, 'release.tgz'), env: { 'PATH' => @dir })
    expect(out).to eq('')
    expect(err.lines.size).to eq(1)
    expect(err).to match(%r{\Aci/release: nothing was built: the bosh CLI is not installed. Get it from https://})
    expect(status.exitstatus).to eq(3)
    expect(File).not_to exist(File.join(@dir, 'release.tgz'))
  end

  it 'refuses options that it does not know, with its usage' do
    [%w[--final], %w[--version]].each do |arguments|
      _, err, status = release(*arguments)
      expect([status.exitstatus, err]).to match([2, /\Ausage: ci\/release/])
    end
  end

  it 'builds a tarball of all jobs and packages, whose fingerprints are those that ci/compile goes by' do
    installed = system('which', 'bosh', out: File::NULL)
    skip 'NOT BUILT HERE: the bosh CLI is not installed, so this run says nothing about `bosh create-release`' unless installed
    missing = Release::Blob.all.select(&:wrong).map(&:path)
    skip "NOT BUILT HERE: `ci/blobs` has not fetched #{missing.join(', ')}" if missing.any?
    tarball = File.join(@dir, 'release.tgz')
    # The CLI remembers what it built, beside what it builds from: in a copy, that is forgotten.
    Dir.mktmpdir(nil, File.join(RELEASE_DIR, 'target')) do |copy|
      parts = %w[Cargo.lock Cargo.toml LICENSE blobs ci config jobs packages src].map { |part| File.join(RELEASE_DIR, part) }
      expect(system('cp', '--archive', '--link', *parts, copy)).to be(true)
      out, err, status = Open3.capture3(File.join(copy, 'ci/release'), tarball)
      expect(status).to be_success, out + err
    end
    manifest = YAML.safe_load(Open3.capture2('tar', 'xzOf', tarball, 'release.MF').first)
    expect(manifest['packages'].to_h { |p| [p['name'], p['fingerprint']] }).to eq(Release::Package.all.to_h { |p| [p.name, p.fingerprint] })
    expect(manifest['jobs'].map { |j| j['name'] }).to match_array(Dir.children(File.join(RELEASE_DIR, 'jobs')))
  end
end
