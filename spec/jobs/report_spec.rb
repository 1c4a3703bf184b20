# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'job report', type: :rendering do
  def errand(properties = {}) = JSON.parse(render('report', 'config/report.yml', properties: properties, links: {}))

  it 'goes two hours back unless told otherwise' do
    expect(errand).to eq('last' => '2h', 'largest_mib' => 32)
    expect(errand('last' => '30m', 'largest_mib' => 4)).to eq('last' => '30m', 'largest_mib' => 4)
  end

  it 'runs without a shell that could see a property' do
    expect(render('report', 'bin/run', links: {}).sub('"$@"', '')).not_to match(/\$|`/)
    expect(errand('last' => Rendering::HOSTILE)['last']).to eq(Rendering::HOSTILE)
  end

  it 'refuses what galera-ctl cannot use, before anything is collected', :executables do
    member = render('mariadb', 'config/member.yml')
    { 'last' => 'yesterday', 'largest_mib' => 0 }.each do |key, value|
      Dir.mktmpdir do |dir|
        File.write(File.join(dir, 'member.yml'), JSON.dump(JSON.parse(member).tap { |m| m['mariadb']['user'] = 'root' }))
        File.write(File.join(dir, 'report.yml'), JSON.dump(errand(key => value)))
        program = %w[release debug].map { |p| File.join(RELEASE_DIR, 'target', p, 'galera-ctl') }.find { |f| File.executable?(f) }
        command = [program, '--config', "#{dir}/member.yml", 'report', '--errand', "#{dir}/report.yml", '--directory', "#{dir}/out"]
        _out, err, status = Open3.capture3(*command)
        expect([status.exitstatus, err]).to match([2, a_string_including(key)])
        expect(File).not_to exist("#{dir}/out")
      end
    end
  end
end

RSpec.describe 'hooks', type: :rendering do
  def member(properties = {}) = JSON.parse(render('mariadb', 'config/member.yml', properties: properties))

  def bootstrap(properties = {})
    JSON.parse(render('bootstrap', 'config/galera-bootstrap.yml', links: links(mariadb: properties)))
  end

  it 'are off unless a directory is given' do
    expect(member).not_to have_key('hooks')
    expect(bootstrap).not_to have_key('hooks')
    expect(member('hooks' => { 'directory' => '  ' })).not_to have_key('hooks')
  end

  it 'are the same for members and for the errand' do
    given = { 'hooks' => { 'directory' => '/var/vcap/jobs/*/galera-hooks', 'timeout' => '5s' } }
    expect(member(given)['hooks']).to eq('directory' => '/var/vcap/jobs/*/galera-hooks', 'timeout' => '5s')
    expect(bootstrap(given)['hooks']).to eq(member(given)['hooks'])
  end

  it 'need an absolute path, and take a hostile one for a path', :executables do
    expect { member('hooks' => { 'directory' => 'hooks' }) }.to raise_error(/hooks\.directory: expected an absolute path/)
    hostile = "/#{Rendering::HOSTILE.strip}"
    expect(member('hooks' => { 'directory' => hostile })['hooks']['directory']).to eq(hostile)
    given = { 'hooks' => { 'directory' => hostile } }
    config = member(given)
    _out, err, status = check_config('galera-start', '') do |dir|
      File.write("#{dir}/seed.yml", render('mariadb', 'config/seed.yml'))
      config['paths']['seed_file'] = "#{dir}/seed.yml"
      File.write("#{dir}/config.yml", JSON.dump(config))
    end
    expect([status.exitstatus, err]).to eq([0, ''])
    _out, err, status = check_config('galera-bootstrap', JSON.dump(bootstrap(given)))
    expect([status.exitstatus, err]).to eq([0, ''])
  end
end
